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
  MAX_SIGNATURE_BYTES,
  Reader,
  requestHash,
  type KeyId,
  type SharingId,
} from '@tkms/dkg'
import type { ShareLender } from './key-table.ts'
import { LEEWAY_SECONDS, type Refusal, refuse } from './refusal.ts'
import type { HashedRequest, RequesterVerifier, VerifiedRequester } from './requester.ts'

export interface Admitted extends HashedRequest {
  readonly kind: 'admitted'
  readonly requester: VerifiedRequester
}

export interface AdmissionPorts {
  readonly curve: Curve
  readonly clusterId: ClusterId
  readonly lender: ShareLender
  readonly requesters: RequesterVerifier
}

/**
 * The checks of a whole request that need no policy, cheapest first (interfaces 2): size, cluster, key purpose and state, strict
 * decoding with every point, time window, signatures. The share may be gone again when it ends: it may wait for a chain.
 */
export async function admitRequest(
  ports: AdmissionPorts,
  authorization: Authorization,
  now: { readonly nowSeconds: number; readonly signal: AbortSignal },
): Promise<Admitted | Refusal> {
  const { payload } = authorization
  if (payload.length > MAX_REQUEST_BYTES) return refuse('too-large')
  if (authorization.signature.length > MAX_SIGNATURE_BYTES) return refuse('malformed', 'signature too long')
  const target = readTarget(payload)
  if (target === undefined) return refuse('malformed', 'ends too early')
  if (!equalBytes(target.clusterId, ports.clusterId)) return refuse('wrong-cluster')
  const found = ports.lender.find(target.keyId, target.sharingId)
  if (found.kind !== 'found') return refuse(found.kind)
  const request = decodeOrRefuse(ports.curve, authorization)
  if (request instanceof KmsError) return refusalOf(request)
  const { nowSeconds } = now
  const skewSeconds = clockSkewSeconds(request, { nowSeconds, leewaySeconds: LEEWAY_SECONDS })
  if (skewSeconds !== 0) return { kind: 'refusal', code: 'clock-skew', skewSeconds }
  const { curve } = ports
  const hashed = { request, hash: requestHash(payload, curve), spkiHash: curve.sha256(request.spki) }
  const requester = await ports.requesters.verify(authorization, hashed, now)
  return requester.kind === 'refusal' ? requester : { kind: 'admitted', ...hashed, requester }
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
