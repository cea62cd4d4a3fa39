import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { encodeFunctionData, parseAbiItem } from 'viem/utils'
import { describe, expect, it } from 'vitest'
import { type ContractView, decodeBool, encodeViewCall, parseContractView, type ViewArgument } from './contract-view.ts'

const values = {
  handle: new Uint8Array(32).fill(0xa1),
  account: new Uint8Array(20).fill(0xb2),
  chainId: 2 ** 53 - 1,
  keyId: new Uint8Array(32).fill(0xc3),
  spkiHash: new Uint8Array(32).fill(0xd4),
}
const hex = (bytes: Uint8Array): `0x${string}` => `0x${bytesToHex(bytes)}`
const viewOf = (signature: string, args: readonly ViewArgument[]): ContractView => {
  const view = parseContractView(signature, args)
  if (typeof view === 'string') throw new Error(view)
  return view
}

describe('a view of a contract', () => {
  it.each<[string, readonly ViewArgument[], readonly unknown[]]>([
    ['isViewer(bytes32,address)', ['handle', 'account'], [hex(values.handle), hex(values.account)]],
    ['isPubliclyDecryptable(bytes32)', ['handle'], [hex(values.handle)]],
    [
      '_may$1(address,uint64,uint256,bytes32,uint256)',
      ['account', 'chainId', 'keyId', 'spkiHash', 'handle'],
      [
        hex(values.account),
        BigInt(values.chainId),
        BigInt(hex(values.keyId)),
        hex(values.spkiHash),
        BigInt(hex(values.handle)),
      ],
    ],
  ])('is called as the Ethereum library calls it: %s', (signature, args, plain) => {
    const abi = parseAbiItem(`function ${signature} view returns (bool)`)
    if (!('name' in abi)) throw new Error('not a function')
    const expected = encodeFunctionData({ abi: [abi], functionName: abi.name, args: plain } as Parameters<
      typeof encodeFunctionData
    >[0])
    expect(hex(encodeViewCall(viewOf(signature, args), values))).toBe(expected)
  })

  it.each<[string, readonly ViewArgument[]]>([
    ['isViewer', ['handle']],
    ['isViewer()', []],
    ['isViewer(bytes32, address)', ['handle', 'account']],
    ['isViewer(bytes32 handle)', ['handle']],
    ['isViewer(bytes32,address)', ['handle']],
    ['isViewer(bytes32)', ['handle', 'account']],
    ['isViewer(address,bytes32)', ['handle', 'account']],
    ['isViewer(bytes16)', ['handle']],
    ['isViewer(uint32)', ['chainId']],
    ['isViewer(bytes)', ['handle']],
    [`${'a'.repeat(66)}(bytes32)`, ['handle']],
  ])('is refused where it does not fit: %s', (signature, args) => {
    expect(parseContractView(signature, args)).toBeTypeOf('string')
  })

  const word = (...last: readonly number[]): Uint8Array => {
    const bytes = new Uint8Array(32)
    bytes.set(last, 32 - last.length)
    return bytes
  }

  it('answers with exactly one bool', () => {
    expect([decodeBool(word(1)), decodeBool(word(0))]).toEqual([true, false])
    const others = [
      word(2),
      word(1, 1),
      word(1, 0),
      new Uint8Array(0),
      word(1).slice(1),
      hexToBytes(`${'00'.repeat(31)}0100`),
    ]
    expect(others.map(decodeBool)).toEqual(others.map(() => undefined))
  })
})
