import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { bytesKey, decodeAll, equalBytes, list, type Reader, u64, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { signedBytes, signedHash, taggedHash, taggedHashBy } from '../primitives/hash.ts'
import { id32 } from '../primitives/point.ts'
import type { ClusterId, KeyId, SharingId } from '../primitives/types.ts'
import { formatHex } from './json.ts'
import { decodePublicKeyId, MAX_PUBLIC_KEY_ID_BYTES, parsePublicKeyId } from './public-key-id.ts'
import { encodeItem, readItem, type RequestItem } from './request-item.ts'
import { type Statement, typedStatement } from './statement.ts'

/** Items of one request. */
export const MAX_ITEMS = 256
/** A whole canonical request: 256 items with short policies and grants fit. */
export const MAX_REQUEST_BYTES: number = 1024 * 1024
/** The requester's RSA key: room for keys above the 8192 bits that a node accepts, so that they are refused as what they are. */
export const MAX_SPKI_BYTES = 4096
export const MAX_EVIDENCE = 16
/** One piece of evidence: an attestation quote with its collateral fits. */
export const MAX_EVIDENCE_BYTES: number = 64 * 1024
/** expiresAt - notBefore, at most. */
export const MAX_WINDOW_SECONDS = 3600

/** Evidence kind of a grant for the v2 items of the request (`grant.ts`). */
export const EVIDENCE_GRANT = 1
/** Evidence kind of the session that the request is asked in. */
export const EVIDENCE_SESSION = 2

/** Something a policy rule may want to see. Kinds that no rule knows are ignored. */
export interface Evidence {
  /** u8. */
  readonly kind: number
  readonly bytes: Uint8Array
}

/** REQ: what a requester signs and every answer is bound to (interfaces 2). */
export interface DelegationRequest {
  readonly clusterId: ClusterId
  readonly keyId: KeyId
  /** Absent: the node's active sharing of the key. */
  readonly sharingId?: SharingId
  /** 32 random bytes. */
  readonly requestId: Uint8Array
  /** Unix seconds; notBefore < expiresAt <= notBefore + 3600. */
  readonly notBefore: number
  readonly expiresAt: number
  /** The requester's RSA public key, SPKI DER, to which every answer is boxed. */
  readonly spki: Uint8Array
  /** Who asks; must be the `publicKeyId` of the authorization (`parsePublicKeyId`). */
  readonly publicKeyId: string
  readonly evidence: readonly Evidence[]
  /** 1..256, answered in this order. */
  readonly items: readonly RequestItem[]
}

const ZERO_32 = new Uint8Array(32)

/**
 * u8 1 || clusterId || keyId || sharingId (0 = active) || requestId || u64 notBefore || u64 expiresAt || var SPKI || var publicKeyId
 * || list(var evidence) || list(item) (interfaces 2).
 * @throws KmsError `bad-request`, `bad-encoding`, `too-large`
 */
export function encodeRequest(request: DelegationRequest): Uint8Array {
  requireConsistent(request)
  parsePublicKeyId(request.publicKeyId)
  if (request.items.length < 1 || request.items.length > MAX_ITEMS)
    throw dkgError('bad-request', `a request has 1 to ${MAX_ITEMS} items`)
  if (request.evidence.length > MAX_EVIDENCE || request.evidence.some(({ bytes }) => bytes.length > MAX_EVIDENCE_BYTES))
    throw dkgError('bad-request', 'a request has at most 16 pieces of evidence of 64 KiB')
  const bytes = concatBytes(
    u8(1),
    id32(request.clusterId, 'request.clusterId'),
    id32(request.keyId, 'request.keyId'),
    id32(request.sharingId ?? ZERO_32, 'request.sharingId'),
    id32(request.requestId, 'request.requestId'),
    u64(request.notBefore),
    u64(request.expiresAt),
    varBytes(request.spki),
    varBytes(utf8ToBytes(request.publicKeyId)),
    list(request.evidence, ({ kind, bytes: content }) => varBytes(concatBytes(u8(kind), content))),
    list(request.items, encodeItem),
  )
  requireRequestLength(bytes)
  return bytes
}

/**
 * Strict: one encoding per request, all points valid, every policy the one of its label, every header under the request's key.
 * Verifies no signature and no header proof.
 * @throws KmsError `too-large`, `bad-encoding`, `bad-point`, `bad-request`
 */
export function decodeRequest(curve: Curve, bytes: Uint8Array): DelegationRequest {
  requireRequestLength(bytes)
  return requireConsistent(decodeAll(bytes, 'request', (reader) => readRequest(curve, reader)))
}

/** TH("request", REQ), 32 bytes. @param curve hashes with the SHA-256 of its backend */
export const requestHash = (request: Uint8Array, curve?: Curve): Uint8Array =>
  curve === undefined ? taggedHash('request', request) : taggedHashBy(curve, 'request', request)

/** What the requester's Ed25519 key signs: sig("request", REQ). */
export const requestSignedBytes = (payload: Uint8Array): Uint8Array => signedBytes('request', payload)

const DECRYPTION_REQUEST = {
  primaryType: 'DecryptionRequest',
  fields:
    'bytes32 clusterId,bytes32 keyId,bytes32 recipientKeyHash,uint256 items,uint256 notBefore,uint256 expiresAt,bytes32 requestHash',
} as const

/** What the requester signs. @param payload the canonical bytes of `request`. @param hash their `requestHash`, where it is known */
export const requestStatement = (
  request: DelegationRequest,
  payload: Uint8Array,
  hash: Uint8Array = requestHash(payload),
): Statement =>
  typedStatement(signedHash('request', hash), DECRYPTION_REQUEST, () => ({
    clusterId: formatHex(request.clusterId),
    keyId: formatHex(request.keyId),
    recipientKeyHash: formatHex(sha256(request.spki)),
    items: request.items.length,
    notBefore: request.notBefore,
    expiresAt: request.expiresAt,
    requestHash: formatHex(hash),
  }))

/**
 * By how many seconds a clock misses the request's window, beyond the leeway. 0: inside.
 * Positive: the clock is ahead (the request is over); negative: behind (it has not begun).
 */
export function clockSkewSeconds(
  window: { readonly notBefore: number; readonly expiresAt: number },
  clock: { readonly nowSeconds: number; readonly leewaySeconds: number },
): number {
  const { nowSeconds, leewaySeconds } = clock
  if (nowSeconds > window.expiresAt + leewaySeconds) return nowSeconds - window.expiresAt
  if (nowSeconds < window.notBefore - leewaySeconds) return nowSeconds - window.notBefore
  return 0
}

function readRequest(curve: Curve, reader: Reader): DelegationRequest {
  const version = reader.u8('request.version')
  if (version !== 1) throw dkgError('bad-request', 'a request has version 1', { data: { version } })
  const clusterId = id32(reader.take(32, 'request.clusterId'), 'request.clusterId')
  const keyId = id32<KeyId>(reader.take(32, 'request.keyId'), 'request.keyId')
  const sharingId = id32<SharingId>(reader.take(32, 'request.sharingId'), 'request.sharingId')
  const requestId = reader.take(32, 'request.requestId')
  const notBefore = reader.u64('request.notBefore')
  const expiresAt = reader.u64('request.expiresAt')
  const spki = reader.var(MAX_SPKI_BYTES, 'request.spki')
  const publicKeyId = decodePublicKeyId(reader.var(MAX_PUBLIC_KEY_ID_BYTES, 'request.publicKeyId'))
  const evidence = reader.list({ min: 0, max: MAX_EVIDENCE }, 'request.evidence', (entry) =>
    decodeAll(entry.var(1 + MAX_EVIDENCE_BYTES, 'request.evidence'), 'request.evidence', (inner) => ({
      kind: inner.u8('request.evidence.kind'),
      bytes: inner.rest(MAX_EVIDENCE_BYTES, 'request.evidence.bytes'),
    })),
  )
  const items = reader.list({ min: 1, max: MAX_ITEMS }, 'request.items', (entry) => readItem(curve, entry))
  const active = equalBytes(sharingId, ZERO_32)
  return {
    clusterId,
    keyId,
    ...(active ? {} : { sharingId }),
    requestId,
    notBefore,
    expiresAt,
    spki,
    publicKeyId,
    evidence,
    items,
  }
}

function requireRequestLength(bytes: Uint8Array): void {
  if (bytes.length > MAX_REQUEST_BYTES)
    throw dkgError('too-large', 'the request is too long', { data: { maxBytes: MAX_REQUEST_BYTES } })
}

function requireConsistent(request: DelegationRequest): DelegationRequest {
  const { notBefore, expiresAt, keyId, items, spki } = request
  if (expiresAt <= notBefore || expiresAt > notBefore + MAX_WINDOW_SECONDS)
    throw dkgError('bad-request', 'the time window of a request is at least a second and at most an hour')
  if (spki.length === 0 || spki.length > MAX_SPKI_BYTES)
    throw dkgError('bad-request', 'a request names an RSA key', { data: { maxBytes: MAX_SPKI_BYTES } })
  const stray = items.findIndex((item) => item.version === 2 && !equalBytes(item.header.keyId, keyId))
  if (stray >= 0)
    throw dkgError('bad-request', 'an item is sealed to another key than the request names', {
      data: { item: stray, keyId: bytesKey(keyId) },
    })
  return request
}
