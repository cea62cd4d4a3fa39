import {
  type Authorization,
  type ClusterId,
  type DelegationRequest,
  encodeRequest,
  EVIDENCE_GRANT,
  itemPoint,
  type PointBytes,
  requestHash,
  requestStatement,
  type RequestItem,
  type VerifiedKey,
} from '@tkms/dkg'
import { randomBytes } from './random.ts'
import type { Asker } from './sessions.ts'

/** Clocks that run ahead of a node's by this much still ask in time; a node adds its own leeway of 60 s. */
export const BACKDATE_SECONDS = 30

/** A request ready to be sent to any number of nodes, with what answers to it are checked against. */
export interface SignedRequest {
  readonly authorization: Authorization
  readonly key: VerifiedKey
  /** 32 bytes. */
  readonly requestId: Uint8Array
  /** TH("request", REQ), 32 bytes. */
  readonly requestHash: Uint8Array
  /** What the nodes multiply: K of each item, in the order asked. */
  readonly points: readonly PointBytes[]
}

/**
 * Makes and signs a REQ of 1..256 items (interfaces 2), for this sharing only.
 * @param input.nowMs Unix milliseconds @param input.lifetimeSeconds 1..3570
 * @throws KmsError `bad-request`
 */
export async function signRequest(input: {
  /** Who signs, and with which session if any. */
  readonly asker: Asker
  readonly clusterId: ClusterId
  readonly key: VerifiedKey
  readonly spki: Uint8Array
  readonly items: readonly RequestItem[]
  /** An encoded grant for v2 items; a v1 item carries its own. */
  readonly grant: Uint8Array | undefined
  readonly nowMs: number
  readonly lifetimeSeconds: number
}): Promise<SignedRequest> {
  const { asker, key, items, grant } = input
  const { publicKeyId } = asker
  const nowSeconds = Math.floor(input.nowMs / 1000)
  const requestId = randomBytes(32)
  const request: DelegationRequest = {
    clusterId: input.clusterId,
    keyId: key.keyId,
    sharingId: key.sharingId,
    requestId,
    notBefore: nowSeconds - BACKDATE_SECONDS,
    expiresAt: nowSeconds + input.lifetimeSeconds,
    spki: input.spki,
    publicKeyId,
    evidence: [...asker.evidence, ...(grant === undefined ? [] : [{ kind: EVIDENCE_GRANT, bytes: grant }])],
    items,
  }
  const payload = encodeRequest(request)
  const signature = await asker.sign(requestStatement(request, payload))
  return {
    authorization: { payload, signature, publicKeyId },
    key,
    requestId,
    requestHash: requestHash(payload),
    points: items.map(itemPoint),
  }
}
