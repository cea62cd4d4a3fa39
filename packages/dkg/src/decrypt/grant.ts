import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, equalBytes, type Reader, u64, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'
import { signedBytes, taggedHash } from '../primitives/hash.ts'
import { decodePoint, id32, POINT_BYTES } from '../primitives/point.ts'
import type { ClusterId, KeyId, PointBytes } from '../primitives/types.ts'
import { MAX_SIGNATURE_BYTES } from './authorization.ts'
import { formatHex } from './json.ts'
import { decodePublicKeyId, MAX_PUBLIC_KEY_ID_BYTES, parsePublicKeyId } from './public-key-id.ts'
import { type Statement, typedStatement, verifyStatement } from './statement.ts'

/** What an issuer allows: this requester, with this RSA key, may have this K opened in this window (interfaces 3). */
export interface GrantBody {
  readonly clusterId: ClusterId
  readonly keyId: KeyId
  /** 0 = none. */
  readonly chainId: number
  /** 32 bytes. */
  readonly handle: Uint8Array
  readonly K: PointBytes
  /** SHA-256 of the requester's SPKI DER, 32 bytes. */
  readonly recipientSpkiHash: Uint8Array
  /** publicKeyId of the requester. */
  readonly requester: string
  /** Unix seconds, notBefore < expiresAt. */
  readonly notBefore: number
  readonly expiresAt: number
  /** 32 bytes, the issuer's name for it. */
  readonly grantId: Uint8Array
}

export interface Grant extends GrantBody {
  /** publicKeyId of the issuer. */
  readonly issuer: string
  /** Over `grantStatement(grant, body)`. */
  readonly signature: Uint8Array
  /** The signed bytes. */
  readonly body: Uint8Array
}

const MAX_BODY_BYTES = 1 + 3 * 32 + 8 + POINT_BYTES + 32 + 4 + MAX_PUBLIC_KEY_ID_BYTES + 16 + 32

/**
 * u8 1 || clusterId || keyId || u64 chainId || handle || P K || recipientSpkiHash || var requester || u64 notBefore || u64 expiresAt || grantId.
 * @throws KmsError `bad-request`, `bad-encoding`
 */
export function encodeGrantBody(body: GrantBody): Uint8Array {
  parsePublicKeyId(body.requester)
  requireWindow(body)
  return concatBytes(
    u8(1),
    id32(body.clusterId, 'grant.clusterId'),
    id32(body.keyId, 'grant.keyId'),
    u64(body.chainId),
    id32(body.handle, 'grant.handle'),
    body.K,
    id32(body.recipientSpkiHash, 'grant.recipientSpkiHash'),
    varBytes(utf8ToBytes(body.requester)),
    u64(body.notBefore),
    u64(body.expiresAt),
    id32(body.grantId, 'grant.grantId'),
  )
}

/** What an Ed25519 issuer signs: sig("grant", body). */
export const grantSignedBytes = (body: Uint8Array): Uint8Array => signedBytes('grant', body)

const DECRYPTION_GRANT = {
  primaryType: 'DecryptionGrant',
  fields:
    'bytes32 clusterId,bytes32 keyId,uint256 chainId,bytes32 handle,bytes point,string requester,bytes32 recipientKeyHash,uint256 notBefore,uint256 expiresAt,bytes32 grantHash',
} as const

/** What the issuer signs: sig("grant", body), or EIP-712. @param body the canonical bytes of `grant` */
export const grantStatement = (grant: GrantBody, body: Uint8Array): Statement =>
  typedStatement(grantSignedBytes(body), DECRYPTION_GRANT, () => ({
    clusterId: formatHex(grant.clusterId),
    keyId: formatHex(grant.keyId),
    chainId: grant.chainId,
    handle: formatHex(grant.handle),
    point: formatHex(grant.K),
    requester: grant.requester,
    recipientKeyHash: formatHex(grant.recipientSpkiHash),
    notBefore: grant.notBefore,
    expiresAt: grant.expiresAt,
    grantHash: formatHex(taggedHash('grant', body)),
  }))

/** var body || var issuer || var signature: at most 4 KiB, as a v1 item or evidence of kind 1 carries it. @throws KmsError `bad-request` */
export function encodeGrant(grant: Pick<Grant, 'body' | 'issuer' | 'signature'>): Uint8Array {
  parsePublicKeyId(grant.issuer)
  if (grant.signature.length > MAX_SIGNATURE_BYTES)
    throw dkgError('bad-request', 'the signature of a grant is too long')
  return concatBytes(varBytes(grant.body), varBytes(utf8ToBytes(grant.issuer)), varBytes(grant.signature))
}

/** Strict; the signature is not verified. @throws KmsError `bad-encoding`, `bad-point`, `bad-request` */
export function decodeGrant(curve: Curve, bytes: Uint8Array): Grant {
  return decodeAll(bytes, 'grant', (reader) => {
    const body = reader.var(MAX_BODY_BYTES, 'grant.body')
    const issuer = decodePublicKeyId(reader.var(MAX_PUBLIC_KEY_ID_BYTES, 'grant.issuer'))
    const signature = reader.var(MAX_SIGNATURE_BYTES, 'grant.signature')
    const fields = decodeAll(body, 'grant.body', (inner) => readBody(curve, inner))
    requireWindow(fields)
    return { ...fields, issuer, signature, body }
  })
}

/** Whether the issuer that the grant names signed it. Whether that issuer is trusted is the policy's business. */
export const verifyGrant = (verify: VerifyMessage, grant: Grant): boolean =>
  verifyStatement(verify, grant.issuer, grantStatement(grant, grant.body), grant.signature)

/** What a node is about to do, to be held against a grant. */
export type GrantSubject = Pick<
  GrantBody,
  'clusterId' | 'keyId' | 'chainId' | 'handle' | 'K' | 'recipientSpkiHash' | 'requester'
>

/** The first field in which a grant is about something else; undefined when it covers exactly this. The window is the clock's business. */
export function grantMismatch(grant: GrantBody, subject: GrantSubject): keyof GrantSubject | undefined {
  if (grant.chainId !== subject.chainId) return 'chainId'
  if (grant.requester !== subject.requester) return 'requester'
  const fields = ['clusterId', 'keyId', 'handle', 'K', 'recipientSpkiHash'] as const
  return fields.find((field) => !equalBytes(grant[field], subject[field]))
}

function readBody(curve: Curve, reader: Reader): GrantBody {
  const version = reader.u8('grant.version')
  if (version !== 1) throw dkgError('bad-request', 'a grant has version 1', { data: { version } })
  const clusterId = id32(reader.take(32, 'grant.clusterId'), 'grant.clusterId')
  const keyId = id32<KeyId>(reader.take(32, 'grant.keyId'), 'grant.keyId')
  const chainId = reader.u64('grant.chainId')
  const handle = reader.take(32, 'grant.handle')
  const K = decodePoint(curve, reader.take(POINT_BYTES, 'grant.K'), 'K')
  const recipientSpkiHash = reader.take(32, 'grant.recipientSpkiHash')
  const requester = decodePublicKeyId(reader.var(MAX_PUBLIC_KEY_ID_BYTES, 'grant.requester'))
  const notBefore = reader.u64('grant.notBefore')
  const expiresAt = reader.u64('grant.expiresAt')
  const grantId = reader.take(32, 'grant.grantId')
  return { clusterId, keyId, chainId, handle, K, recipientSpkiHash, requester, notBefore, expiresAt, grantId }
}

function requireWindow({ notBefore, expiresAt }: Pick<GrantBody, 'notBefore' | 'expiresAt'>): void {
  if (expiresAt <= notBefore) throw dkgError('bad-request', 'a grant ends after it begins')
}
