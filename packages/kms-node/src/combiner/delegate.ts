import { bytesToHex } from '@noble/hashes/utils.js'
import {
  attempt,
  type Curve,
  decodePoint,
  encodeNoxAuthorization,
  equalBytes,
  MAX_SPKI_BYTES,
  noxDelegateTypedData,
  noxHexBytes,
  POINT_BYTES,
  recoverEthereumAddress,
  type Secret,
  typedDataDigest,
} from '@tkms/dkg'
import { QuorumError } from '@tkms/kms-client'
import { getAddress } from 'viem/utils'
import { isKmsError } from '../errors.ts'
import { type RsaPolicy, wrapOaep } from '../serve/rsa-policy.ts'
import type { WorkQueue } from '../serve/work-queue.ts'
import {
  BODY_TOO_LONG,
  type DelegateBody,
  hexBytes,
  readDelegateBody,
  readDelegateQuery,
  refuseContentType,
} from './delegate-request.ts'
import { cryptographicError, invalidQuery, jsonReply, type Reply, storageError, unauthorized } from './reply.ts'
import { responseProofTypedData } from './response-proof.ts'
import type { Wallet } from './wallet.ts'

/** What the cluster is asked for a chain. */
export interface ClusterQuestion {
  /** K, 33 bytes. */
  readonly K: Uint8Array
  /** 32 bytes: zero where no user was passed on. */
  readonly handle: Uint8Array
  /** The Nox authorization, encoded: what the nodes' rule decides by. */
  readonly grant: Uint8Array
  readonly signal: AbortSignal
}

/** A chain that this combiner serves. */
export interface ServedChain {
  /** The wallet of the Handle Gateway as the contract names it, 20 bytes. */
  gateway(): Uint8Array
  /** @returns the x coordinate of S = s*K, 32 bytes; the caller destroys it. @throws as `KmsClient.delegate`; KmsError `key-mismatch` when the contract tells everybody another key now */
  sharedSecret(question: ClusterQuestion): Promise<Secret>
}

export interface DelegateCall {
  /** Behind the "?". */
  readonly search: string
  readonly contentType: string | undefined
  readonly authorization: string | undefined
  /** Rejects when the caller goes away. */
  readonly body: () => Promise<Uint8Array | 'too-long' | 'busy'>
  readonly signal: AbortSignal
}

export interface DelegatePorts {
  readonly chains: ReadonlyMap<number, ServedChain>
  readonly wallet: Wallet
  readonly curve: Curve
  readonly rsa: RsaPolicy
  /** Bounds the calls that ask the cluster. */
  readonly queue: WorkQueue
  /** Told why the cluster gave nothing. */
  readonly onFailure: (cause: unknown, chainId: number) => void
}

/** So many characters of a key are hashed before its sender is known. */
const MAX_KEY_TEXT = 2 + 2 * MAX_SPKI_BYTES
const MIN_RSA_DIGITS = 512
const BEARER = 'Bearer '
const BUSY: Reply = storageError('too many requests are under way')

/**
 * `POST /v0/delegate`, checks in the order of the single-key service: query, body, chain, salt, signer, lengths, point, RSA key. Only then
 * is the cluster asked; its nodes check all of it again, and decide.
 */
export function createDelegateHandler(ports: DelegatePorts): (call: DelegateCall) => Promise<Reply> {
  const { chains, wallet, curve, rsa, queue } = ports

  return async (call) => {
    const query = readDelegateQuery(call.search)
    if (query.kind === 'refused') return query.reply
    const refusedType = refuseContentType(call.contentType)
    if (refusedType !== undefined) return refusedType
    const bytes = await call.body()
    if (typeof bytes === 'string') return bytes === 'busy' ? BUSY : BODY_TOO_LONG
    const body = readDelegateBody(bytes)
    if (body.kind === 'refused') return body.reply

    const { chainId } = query.value
    const chain = chains.get(chainId)
    if (chain === undefined) return invalidQuery(`Unknown Chain ID ${chainId}`)
    const salt: `0x${string}` = `0x${digits(query.value.salt)}`
    if (hexBytes(salt, 32, 32) === undefined) return invalidQuery('salt must be 32 bytes in hex')

    const signature = readBearer(call.authorization)
    if (typeof signature === 'string') return unauthorized(signature)
    const { ephemeralPubKey, targetPubKey } = body.value
    if (Math.max(ephemeralPubKey.length, targetPubKey.length) > MAX_KEY_TEXT)
      return cryptographicError('a public key is too long')
    const authorization = { chainId, ephemeralPubKey, targetPubKey, signature }
    const stranger = findStranger(chain.gateway(), authorization)
    if (stranger !== undefined) return unauthorized(stranger)

    if (digits(ephemeralPubKey).length !== 2 * POINT_BYTES)
      return cryptographicError('ephemeralPubKey must have 66 hex digits')
    if (digits(targetPubKey).length < MIN_RSA_DIGITS) return cryptographicError('targetPubKey is too short')
    const K = attempt(() => decodePoint(curve, noxHexBytes(ephemeralPubKey)))
    if (K === undefined) return cryptographicError('ephemeralPubKey is not a point of secp256k1')
    const target = attempt(() => noxHexBytes(targetPubKey))
    if (target === undefined) return cryptographicError('targetPubKey is not hexadecimal')
    const judged = rsa.check(target)
    if (judged.kind === 'refused') return cryptographicError(`targetPubKey is refused: ${judged.weakness}`)

    const evidence = attempt(() => evidenceOf(authorization, body.value))
    if (evidence === undefined) return cryptographicError('the encryptionPubKey of the user is not the hex of a key')
    const question = { K, ...evidence, signal: call.signal }
    const outcome = await queue.enter(call.signal, () => askCluster(chain, question, chainId))
    if (outcome === 'busy' || outcome === 'cancelled') return BUSY
    if ('status' in outcome) return outcome
    try {
      const box = outcome.use((x) => wrapOaep(judged.key, x))
      const encryptedSharedSecret = `0x${bytesToHex(box)}`
      const proof = wallet.sign(responseProofTypedData({ chainId, salt, encryptedSharedSecret }))
      return jsonReply({ encryptedSharedSecret, proof: `0x${bytesToHex(proof)}` })
    } finally {
      outcome.destroy()
    }
  }

  async function askCluster(chain: ServedChain, question: ClusterQuestion, chainId: number): Promise<Secret | Reply> {
    try {
      return await chain.sharedSecret(question)
    } catch (cause) {
      if (question.signal.aborted) return BUSY
      ports.onFailure(cause, chainId)
      if (isKmsError(cause) && cause.code === 'key-mismatch')
        return storageError('kmsPublicKey() on chain is no longer the key of this service')
      return isRefusal(cause)
        ? unauthorized('the nodes of the cluster do not allow it')
        : storageError('the cluster did not answer')
    }
  }
}

/** Too many nodes say no by their policy for asking again to help. */
const isRefusal = (cause: unknown): boolean =>
  cause instanceof QuorumError && !cause.retryable && cause.causes.some(({ code }) => code === 'not-allowed')

const digits = (text: string): string => (text.startsWith('0x') ? text.slice(2) : text)

/** @returns 65 bytes, or what is wrong */
function readBearer(header: string | undefined): Uint8Array | string {
  if (header === undefined) return 'the Authorization header is missing'
  if (!header.startsWith(`${BEARER}0x`)) return 'the Authorization header is not "Bearer 0x" and a signature'
  return hexBytes(header.slice(BEARER.length), 65, 65) ?? 'the signature is not 65 bytes in hex'
}

/** @returns undefined when the gateway signed */
function findStranger(
  gateway: Uint8Array,
  authorization: Parameters<typeof noxDelegateTypedData>[0] & { readonly signature: Uint8Array },
): string | undefined {
  const signer = recoverEthereumAddress(typedDataDigest(noxDelegateTypedData(authorization)), authorization.signature)
  if (signer === undefined) return 'the signature is not valid'
  if (equalBytes(signer, gateway)) return undefined
  return `signer ${formatAddress(signer)} does not match gateway ${formatAddress(gateway)}`
}

/** With the checksum of EIP-55. @param address 20 bytes */
export const formatAddress = (address: Uint8Array): string => getAddress(`0x${bytesToHex(address)}`)

function evidenceOf(
  authorization: Parameters<typeof encodeNoxAuthorization>[0],
  { user }: DelegateBody,
): Pick<ClusterQuestion, 'handle' | 'grant'> {
  if (user === undefined) return { handle: new Uint8Array(32), grant: encodeNoxAuthorization(authorization) }
  const { handle, ...signed } = user
  return { handle, grant: encodeNoxAuthorization({ ...authorization, user: signed }) }
}
