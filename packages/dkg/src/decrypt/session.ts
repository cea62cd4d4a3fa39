import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, equalBytes, list, type Reader, u64, u8, varBytes } from '../primitives/codec.ts'
import { signedBytes, taggedHash } from '../primitives/hash.ts'
import { id32 } from '../primitives/point.ts'
import type { ClusterId, KeyId } from '../primitives/types.ts'
import { MAX_SIGNATURE_BYTES } from './authorization.ts'
import { formatHex } from './json.ts'
import { decodePublicKeyId, MAX_PUBLIC_KEY_ID_BYTES, parsePublicKeyId } from './public-key-id.ts'
import { type DelegationRequest, MAX_WINDOW_SECONDS } from './request.ts'
import { type Statement, typedStatement } from './statement.ts'

/** Handles a session may be limited to. */
export const MAX_SESSION_HANDLES = 256

/** A name of an envelope, as its label or v1 item has it. */
export interface SessionHandle {
  readonly chainId: number
  /** 32 bytes. */
  readonly handle: Uint8Array
}

/**
 * "Whoever holds this session key asks for me": one signature of a principal for many requests, limited to one cluster, key and RSA key,
 * to an hour, and to handles if any are named (interfaces 3).
 */
export interface SessionBody {
  readonly clusterId: ClusterId
  readonly keyId: KeyId
  /** SHA-256 of the requester's SPKI DER, 32 bytes. */
  readonly recipientSpkiHash: Uint8Array
  /** An Ed25519 public key, 32 bytes as written: it signs the requests. */
  readonly sessionKey: Uint8Array
  /** publicKeyId of who signs the session: an Ed25519 key or a wallet, never a session. */
  readonly principal: string
  /** Unix seconds; notBefore < expiresAt <= notBefore + 3600. */
  readonly notBefore: number
  readonly expiresAt: number
  /** 32 random bytes. */
  readonly sessionId: Uint8Array
  /** At most 256; none = every handle of the key. */
  readonly handles: readonly SessionHandle[]
}

export interface Session extends SessionBody {
  /** By the principal. */
  readonly signature: Uint8Array
  /** The signed bytes. */
  readonly body: Uint8Array
}

const HANDLE_BYTES = 40
const MAX_BODY_BYTES = 1 + 4 * 32 + 4 + MAX_PUBLIC_KEY_ID_BYTES + 16 + 32 + 2 + MAX_SESSION_HANDLES * HANDLE_BYTES

/**
 * u8 1 || clusterId || keyId || recipientSpkiHash || sessionKey || var principal || u64 notBefore || u64 expiresAt || sessionId
 * || list(u64 chainId || handle).
 * @throws KmsError `bad-request`, `bad-encoding`
 */
export function encodeSessionBody(body: SessionBody): Uint8Array {
  requireSession(body)
  return concatBytes(
    u8(1),
    id32(body.clusterId, 'session.clusterId'),
    id32(body.keyId, 'session.keyId'),
    id32(body.recipientSpkiHash, 'session.recipientSpkiHash'),
    id32(body.sessionKey, 'session.sessionKey'),
    varBytes(utf8ToBytes(body.principal)),
    u64(body.notBefore),
    u64(body.expiresAt),
    id32(body.sessionId, 'session.sessionId'),
    list(body.handles, ({ chainId, handle }) => concatBytes(u64(chainId), id32(handle, 'session.handle'))),
  )
}

/** TH("decrypt-session", body), 32 bytes: the publicKeyId of the requests asked in it is "session:" and its hex. */
export const sessionHash = (body: Uint8Array): Uint8Array => taggedHash('decrypt-session', body)

const DECRYPTION_SESSION = {
  primaryType: 'DecryptionSession',
  fields:
    'bytes32 clusterId,bytes32 keyId,bytes32 recipientKeyHash,uint256 handles,uint256 notBefore,uint256 expiresAt,bytes32 sessionHash',
} as const

/** What the principal signs: sig("decrypt-session", body), or EIP-712. @param body the canonical bytes of `session` */
export const sessionStatement = (session: SessionBody, body: Uint8Array): Statement =>
  typedStatement(signedBytes('decrypt-session', body), DECRYPTION_SESSION, () => ({
    clusterId: formatHex(session.clusterId),
    keyId: formatHex(session.keyId),
    recipientKeyHash: formatHex(session.recipientSpkiHash),
    handles: session.handles.length,
    notBefore: session.notBefore,
    expiresAt: session.expiresAt,
    sessionHash: formatHex(sessionHash(body)),
  }))

/** var body || var signature, as evidence of kind 2 carries it. @throws KmsError `bad-request` */
export function encodeSession({ body, signature }: Pick<Session, 'body' | 'signature'>): Uint8Array {
  if (signature.length > MAX_SIGNATURE_BYTES) throw dkgError('bad-request', 'the signature of a session is too long')
  return concatBytes(varBytes(body), varBytes(signature))
}

/** Strict; the signature is not verified. @throws KmsError `bad-encoding`, `bad-request` */
export function decodeSession(bytes: Uint8Array): Session {
  return decodeAll(bytes, 'session', (reader) => {
    const body = reader.var(MAX_BODY_BYTES, 'session.body')
    const signature = reader.var(MAX_SIGNATURE_BYTES, 'session.signature')
    return { ...decodeAll(body, 'session.body', readBody), signature, body }
  })
}

/** Why a session does not cover a request, or undefined. Time and signatures are checked elsewhere. */
export function sessionMismatch(
  session: SessionBody,
  request: Pick<DelegationRequest, 'clusterId' | 'keyId' | 'items'> & { readonly recipientSpkiHash: Uint8Array },
): 'cluster' | 'key' | 'recipient' | 'handle' | undefined {
  if (!equalBytes(session.clusterId, request.clusterId)) return 'cluster'
  if (!equalBytes(session.keyId, request.keyId)) return 'key'
  if (!equalBytes(session.recipientSpkiHash, request.recipientSpkiHash)) return 'recipient'
  const isCovered = ({ chainId, handle }: SessionHandle): boolean =>
    session.handles.some((named) => named.chainId === chainId && equalBytes(named.handle, handle))
  const names = request.items.map((item) => (item.version === 1 ? item : item.header.label))
  return session.handles.length === 0 || names.every(isCovered) ? undefined : 'handle'
}

function readBody(reader: Reader): SessionBody {
  const version = reader.u8('session.version')
  if (version !== 1) throw dkgError('bad-request', 'a session has version 1', { data: { version } })
  return requireSession({
    clusterId: id32(reader.take(32, 'session.clusterId'), 'session.clusterId'),
    keyId: id32<KeyId>(reader.take(32, 'session.keyId'), 'session.keyId'),
    recipientSpkiHash: reader.take(32, 'session.recipientSpkiHash'),
    sessionKey: reader.take(32, 'session.sessionKey'),
    principal: decodePublicKeyId(reader.var(MAX_PUBLIC_KEY_ID_BYTES, 'session.principal')),
    notBefore: reader.u64('session.notBefore'),
    expiresAt: reader.u64('session.expiresAt'),
    sessionId: reader.take(32, 'session.sessionId'),
    handles: reader.list({ min: 0, max: MAX_SESSION_HANDLES }, 'session.handles', (entry) => ({
      chainId: entry.u64('session.chainId'),
      handle: entry.take(32, 'session.handle'),
    })),
  })
}

function requireSession(body: SessionBody): SessionBody {
  const { kind } = parsePublicKeyId(body.principal)
  if (kind !== 'ed25519' && kind !== 'eip712')
    throw dkgError('bad-request', 'the principal of a session is an Ed25519 key or a wallet')
  if (body.expiresAt <= body.notBefore || body.expiresAt > body.notBefore + MAX_WINDOW_SECONDS)
    throw dkgError('bad-request', 'a session lasts at least a second and at most an hour')
  if (body.handles.length > MAX_SESSION_HANDLES)
    throw dkgError('bad-request', `a session is limited to at most ${MAX_SESSION_HANDLES} handles`)
  return body
}
