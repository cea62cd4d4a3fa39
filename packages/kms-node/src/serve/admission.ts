import {
  type Authorization,
  type ClusterId,
  clockSkewSeconds,
  type Curve,
  decodeAuthorization,
  type DelegationRequest,
  equalBytes,
  KmsError,
  MAX_REQUEST_BYTES,
  parsePublicKeyId,
  type Principal,
  Reader,
  type RefusalCode,
  requestSignedBytes,
  type KeyId,
  type SharingId,
} from '@tkms/dkg'
import type { SignatureVerifier } from '../policy/signature-verifier.ts'
import type { ShareLender, ShareLookup } from './key-table.ts'

/** Clocks of requesters and nodes may differ by this much, either way (interfaces 2). */
export const LEEWAY_SECONDS = 60

/** Why a request, or one item of it, gets no partial. */
export interface Refusal {
  readonly kind: 'refusal'
  readonly code: RefusalCode
  /** With `clock-skew`: this node's clock is ahead (positive) or behind (negative). */
  readonly skewSeconds?: number
  /** For this node's own log: fixed words, never a secret, never sent. */
  readonly reason?: string
}

export const refuse = (code: RefusalCode, reason?: string): Refusal =>
  reason === undefined ? { kind: 'refusal', code } : { kind: 'refusal', code, reason }

export interface Admitted {
  readonly kind: 'admitted'
  readonly request: DelegationRequest
  readonly found: Extract<ShareLookup, { kind: 'found' }>
  /** The verified signer; undefined for an unsigned request ("none"). */
  readonly principal: Principal | undefined
  /** Its publicKeyId, or "none". */
  readonly requesterId: string
}

export interface AdmissionPorts {
  readonly curve: Curve
  readonly clusterId: ClusterId
  readonly lender: ShareLender
  readonly signatures: SignatureVerifier
}

/**
 * The checks of a whole request that need no policy, cheapest first (interfaces 2): size, cluster, key purpose and state, strict
 * decoding with every point, time window, signature.
 */
export function admitRequest(
  ports: AdmissionPorts,
  authorization: Authorization,
  nowSeconds: number,
): Admitted | Refusal {
  const { payload } = authorization
  if (payload.length > MAX_REQUEST_BYTES) return refuse('too-large')
  const target = readTarget(payload)
  if (target === undefined) return refuse('malformed', 'ends too early')
  if (!equalBytes(target.clusterId, ports.clusterId)) return refuse('wrong-cluster')
  const found = ports.lender.find(target.keyId, target.sharingId)
  if (found.kind !== 'found') return refuse(found.kind)
  const request = decodeOrRefuse(ports.curve, authorization)
  if (request instanceof KmsError) return refusalOf(request)
  const skewSeconds = clockSkewSeconds(request, { nowSeconds, leewaySeconds: LEEWAY_SECONDS })
  if (skewSeconds !== 0) return { kind: 'refusal', code: 'clock-skew', skewSeconds }
  const signer = verifySigner(ports.signatures, authorization)
  if (signer === 'bad') return refuse('bad-signature')
  return { kind: 'admitted', request, found, principal: signer, requesterId: request.publicKeyId }
}

interface Target {
  readonly clusterId: Uint8Array
  readonly keyId: KeyId
  readonly sharingId: SharingId | undefined
}

/** The first 97 bytes of REQ: u8 1 || clusterId || keyId || sharingId, so that nothing is parsed for a key this node does not serve. */
function readTarget(payload: Uint8Array): Target | undefined {
  const reader = new Reader(payload)
  if (reader.remaining < 97 || reader.u8('request.version') !== 1) return undefined
  const clusterId = reader.take(32, 'request.clusterId')
  const keyId = reader.take(32, 'request.keyId') as KeyId
  const sharingId = reader.take(32, 'request.sharingId') as SharingId
  return { clusterId, keyId, sharingId: sharingId.some((byte) => byte !== 0) ? sharingId : undefined }
}

function decodeOrRefuse(curve: Curve, authorization: Authorization): DelegationRequest | KmsError {
  try {
    return decodeAuthorization(curve, authorization)
  } catch (error) {
    if (error instanceof KmsError) return error
    throw error
  }
}

/** Every other field of a header has a fixed length, so a header of a wrong length holds a point of a wrong length. */
const POINT_LENGTH_FIELDS = new Set<unknown>(['item.header', 'header'])

function refusalOf(error: KmsError): Refusal {
  if (error.code === 'bad-point' || error.code === 'too-large') return refuse(error.code, error.message)
  return refuse(POINT_LENGTH_FIELDS.has(error.data['field']) ? 'bad-point' : 'malformed', error.message)
}

function verifySigner(signatures: SignatureVerifier, authorization: Authorization): Principal | undefined | 'bad' {
  const { payload, signature, publicKeyId } = authorization
  const signer = parsePublicKeyId(publicKeyId)
  if (signer.kind === 'none') return signature.length === 0 ? undefined : 'bad'
  if (signer.kind !== 'ed25519') return 'bad'
  return signatures.verify(publicKeyId, requestSignedBytes(payload), signature)
    ? { kind: 'ed25519', key: signer.key }
    : 'bad'
}
