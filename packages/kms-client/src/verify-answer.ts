import {
  type Answer,
  answerSignedBytes,
  attempt,
  type ClusterNode,
  type Curve,
  decodeSingle,
  encodeWrongPartialEvidence,
  equalBytes,
  type ParticipantIndex,
  pdecContext,
  type PointBytes,
  type SharingId,
  verifyEd25519,
  verifyPartial,
} from '@tkms/dkg'
import { type NodeFailureCode, NodeFailureError } from './errors.ts'
import type { RequesterKey } from './requester.ts'
import type { SignedRequest } from './signed-request.ts'
import type { TrustedCluster } from './trust.ts'

/** A partial decryption whose signature and proof hold under the certificate. */
export interface VerifiedPartial {
  readonly index: ParticipantIndex
  readonly sharingId: SharingId
  readonly D: PointBytes
}

export interface AnswerCheck {
  readonly curve: Curve
  readonly trusted: TrustedCluster
  readonly requesterKey: RequesterKey
  readonly request: SignedRequest
  /** The chain to the sharing of the request, for evidence. */
  readonly certificates: readonly Uint8Array[]
}

/**
 * Everything an answer must satisfy before its D_j may be combined (protocol 10.1, 12 rows 34 to 36): it is about this request,
 * this sharing and this node; the box opens; the node signed ctx, box and content; the proof holds against Y_j of the certificate.
 * ctx is rebuilt from the request and the certificate, never read from the answer.
 * @throws NodeFailureError
 */
export async function verifyAnswer(check: AnswerCheck, node: ClusterNode, answer: Answer): Promise<VerifiedPartial> {
  const { curve, trusted, requesterKey, request } = check
  const { key, requestId, requestHash, K } = request
  const fail = (code: NodeFailureCode, detail: string, evidence?: Uint8Array): never => {
    const failure = { index: node.index, name: node.name, code, detail }
    throw new NodeFailureError(evidence === undefined ? failure : { ...failure, evidence })
  }

  if (answer.index !== node.index) fail('bad-reply', 'answered as another node')
  if (!equalBytes(answer.sharingId, key.sharingId)) fail('bad-reply', 'answered from another sharing of the key')
  if (!equalBytes(answer.requestId, requestId)) fail('bad-reply', 'answered another request')

  const content = await requesterKey.unwrap(answer.box)
  if (content === undefined) return fail('bad-box', 'sent a box that our RSA key does not open')

  const { purpose, keyId, epoch, sharingId } = key
  const ctx = pdecContext({ purpose, keyId, epoch, sharingId, index: node.index, requestId, requestHash })
  const { box, signature } = answer
  if (!verifyEd25519(node.publicKey, answerSignedBytes({ ctx, box, content }), signature))
    fail('bad-node-signature', 'sent an answer that its roster key did not sign')

  const partial = attempt(() => decodeSingle(curve, content))
  const share = trusted.verificationShare(key, node.index)
  if (
    partial !== undefined &&
    partial.index === node.index &&
    verifyPartial(curve, { verificationShare: share, K, ctx, ...partial })
  )
    return { index: node.index, sharingId, D: partial.D }
  const chain = { certificates: check.certificates, request: request.authorization.payload, index: node.index }
  const evidence = encodeWrongPartialEvidence({ ...chain, box, signature, content })
  return fail('bad-partial', 'signed a partial decryption that its proof does not support', evidence)
}
