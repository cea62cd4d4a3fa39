// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// What a policy reads of a protocol like Nox: who may view which handle, and who its gateway is.
contract Handles {
    address public gateway;
    mapping(bytes32 => mapping(address => bool)) public isViewer;
    mapping(bytes32 => bool) public isPubliclyDecryptable;

    function setGateway(address to) external {
        gateway = to;
    }

    function setViewer(bytes32 handle, address account, bool allowed) external {
        isViewer[handle][account] = allowed;
    }

    function publish(bytes32 handle) external {
        isPubliclyDecryptable[handle] = true;
    }

    function reverts(bytes32) external pure returns (bool) {
        revert("not for you");
    }

    function panics(bytes32) external pure returns (bool) {
        assert(false);
        return true;
    }

    function two(bytes32) external pure returns (uint256) {
        return 2;
    }

    function twoWords(bytes32) external pure returns (bool, bool) {
        return (true, true);
    }

    function nothing(bytes32) external pure {}
}
