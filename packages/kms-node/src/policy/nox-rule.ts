import { sha256 } from '@noble/hashes/sha2.js'
import { hexToBytes } from '@noble/hashes/utils.js'
import {
  attempt,
  decodeNoxAuthorization,
  equalBytes,
  formatPublicKeyId,
  MAX_WINDOW_SECONDS,
  type NoxAuthorization,
  noxDataAccessTypedData,
  noxDelegateTypedData,
  noxHexBytes,
  type NoxUserAuthorization,
  recoverEthereumAddress,
  typedDataDigest,
} from '@tkms/dkg'
import type { ChainReader } from '../chain/chain-reader.ts'
import { createGatewayReader } from '../chain/nox-gateway.ts'
import { isKmsError } from '../errors.ts'
import { createContractWallets } from './contract-wallet.ts'
import { type ContractView, encodeViewCall, parseContractView } from './contract-view.ts'
import { type DecisionInput, no, type PolicyRule, type RuleContext, type RuleVerdict, YES } from './decision.ts'
import { createForgeryLimit } from './forgery-limit.ts'
import { type NoxOptions, readNoxOptions } from './nox-options.ts'
import { askContract } from './onchain-rule.ts'
import type { RuleType } from './rule-type.ts'

/** The rule's name. */
export const NOX = 'nox'
/** Clocks of users and nodes may differ by this much, either way (interfaces 2). */
const LEEWAY_SECONDS = 60
const UNDECIDED: RuleVerdict = { kind: 'no', reason: 'chain-unavailable', undecided: true }

const IS_VIEWER = parseContractView('isViewer(bytes32,address)', ['handle', 'account']) as ContractView

/**
 * Yes when the Handle Gateway of a Nox deployment authorized this K for this RSA key, and, when told so, the user asked for it. It binds
 * neither user nor handle to K, since Nox signs neither beside it: what is asked of the user dates an honest request and does not stop a
 * stolen gateway key. A combiner that is listed may have the answer boxed to a key of its own.
 */
export function createNoxRule(chains: ChainReader, options: NoxOptions): PolicyRule {
  const { chainId, user: userCheck, contract } = options
  const combiners = new Set(options.combiners)
  const forgeries = createForgeryLimit()
  const fixed = options.gateway === undefined ? undefined : hexToBytes(options.gateway.slice(2))
  const gatewayOnChain = contract === undefined ? undefined : createGatewayReader(chains, { chainId, contract })

  const checkGateway = async (
    authorization: NoxAuthorization,
    grantId: Uint8Array,
    input: DecisionInput,
  ): Promise<RuleVerdict> => {
    const gateway = fixed ?? (await gatewayOnChain?.(input.nowSeconds))
    if (gateway === undefined) return no('no-gateway')
    if (forgeries.reached(input.request)) return no('too-many-forged-authorizations')
    const signer = recoverEthereumAddress(typedDataDigest(noxDelegateTypedData(authorization)), authorization.signature)
    if (signer !== undefined && equalBytes(signer, gateway))
      // It signs no handle.
      return {
        kind: 'yes',
        bindsPoint: true,
        by: { issuer: formatPublicKeyId({ kind: 'eip712', address: signer }), grantId },
      }
    forgeries.found(input.request)
    return no('not-signed-by-the-gateway')
  }

  const checkUser = async (
    user: NoxUserAuthorization,
    target: Uint8Array,
    { nowSeconds, signal }: DecisionInput,
  ): Promise<RuleVerdict> => {
    const { address, notBefore, expiresAt, signature } = user
    if (!equalBytes(noxHexBytes(user.encryptionPubKey), target)) return no('user-for-another-recipient')
    if (expiresAt <= notBefore || expiresAt > notBefore + MAX_WINDOW_SECONDS) return no('user-window')
    if (nowSeconds < notBefore - LEEWAY_SECONDS) return no('user-not-yet-valid')
    if (nowSeconds > expiresAt + LEEWAY_SECONDS) return no('user-expired')
    const digest = typedDataDigest(noxDataAccessTypedData(user, { chainId, contract: contract ?? '' }))
    const signer = recoverEthereumAddress(digest, signature)
    if (signer !== undefined && equalBytes(signer, address)) return YES
    if (!chains.has(chainId)) return no('user-signature')
    const accepted = await createContractWallets(chains, chainId).accepts({ address, digest, signature, signal })
    return accepted ? YES : no('user-signature')
  }

  const decide = async (input: DecisionInput, { handleBound }: RuleContext): Promise<RuleVerdict> => {
    const { item } = input
    const authorization = item.version === 1 ? attempt(() => decodeNoxAuthorization(item.grant)) : undefined
    if (item.version === 2 || authorization === undefined) return no('no-nox-authorization')
    if (authorization.chainId !== chainId || item.chainId !== chainId) return no('nox-for-another-chain')
    if (!equalBytes(noxHexBytes(authorization.ephemeralPubKey), item.K)) return no('nox-for-another-point')
    const target = noxHexBytes(authorization.targetPubKey)
    const combined = combiners.has(input.requesterId)
    if (!combined && !equalBytes(sha256(target), input.recipientSpkiHash)) return no('nox-for-another-recipient')
    const authorized = await checkGateway(authorization, sha256(item.grant), input)
    if (authorized.kind === 'no' || userCheck === 'off') return authorized
    const { user } = authorization
    if (user === undefined) return no('no-user-authorization')
    const asked = await checkUser(user, target, input)
    if (asked.kind === 'no') return asked
    if (userCheck === 'authorization' || contract === undefined) return authorized
    // The combiner's word, and without one the requester's own.
    if (!combined && !handleBound) return no('handle-not-bound')
    const { recipientSpkiHash: spkiHash, request } = input
    const values = { handle: item.handle, account: user.address, chainId, keyId: request.keyId, spkiHash }
    const seen = await askContract(chains, { chainId, contract, data: encodeViewCall(IS_VIEWER, values) }, input.signal)
    return seen.kind === 'no' ? seen : authorized
  }

  return {
    name: NOX,
    async decide(input, context) {
      try {
        return await decide(input, context)
      } catch (error) {
        if (isKmsError(error) && error.code === 'chain-unavailable') return UNDECIDED
        throw error
      }
    },
  }
}

/** `rule: nox` with `chain:`, `gateway:` or `contract:`, and if need be `combiners:` and `user:`. */
export const noxRuleType: RuleType = {
  name: NOX,
  parse(fields, problem) {
    const options = readNoxOptions(fields, problem)
    if (options === undefined) return undefined
    const readsChain = options.gateway === undefined || options.user === 'viewer'
    return ({ chains }) => {
      if (readsChain && !chains.has(options.chainId)) return problem('chain', 'is not among the chains of node.yaml')
      return createNoxRule(chains, options)
    }
  },
}
