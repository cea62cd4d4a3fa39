import {
  type Answer,
  answerSignedBytes,
  attempt,
  type BatchContent,
  type BatchItem,
  type ClusterNode,
  type Curve,
  decodeBatch,
  decodeSingle,
  encodeWrongPartialEvidence,
  equalBytes,
  openBatch,
  type ParticipantIndex,
  pdecContext,
  Secret,
  splitBox,
  verifyEd25519,
  type VerifyMessage,
  verifyPartial,
} from '@tkms/dkg'
import { type NodeFailure, type NodeFailureCode, NodeFailureError } from './errors.ts'
import type { RequesterKey } from './requester.ts'
import type { SignedRequest } from './signed-request.ts'
import type { TrustedCluster } from './trust.ts'

export interface AnswerCheck {
  readonly curve: Curve
  /** Verifies the nodes' signatures of their answers. */
  readonly verify: VerifyMessage
  readonly trusted: TrustedCluster
  readonly requesterKey: RequesterKey
  readonly request: SignedRequest
  /** The chain to the sharing of the request, for evidence. */
  readonly certificates: readonly Uint8Array[]
}

/** What a node signed, one entry per item of the request, in its order. The proofs in it are not verified yet. */
export interface SignedAnswer {
  readonly index: ParticipantIndex
  readonly items: readonly BatchItem[]
  /** Whether the proof of the item at this place holds against Y_j of the certificate. A refusal claims nothing. */
  proves(at: number): boolean
  /** The failure of a node whose proof does not hold, with evidence for others (protocol 7, E6). */
  blame(): NodeFailure
}

/**
 * Everything an answer must satisfy but its proofs (protocol 10.1, 12 rows 34 to 36): it is about this request, this sharing and this
 * node; the box opens; the node signed ctx, box and content. ctx is rebuilt from the request and the certificate, never read from the answer.
 * @throws NodeFailureError
 */
export async function openAnswer(check: AnswerCheck, node: ClusterNode, answer: Answer): Promise<SignedAnswer> {
  const { curve, trusted, request } = check
  const { key, requestId, requestHash, points } = request
  const fail = (code: NodeFailureCode, detail: string): never => {
    throw new NodeFailureError({ index: node.index, name: node.name, code, detail })
  }

  if (answer.index !== node.index) fail('bad-reply', 'answered as another node')
  if (!equalBytes(answer.sharingId, key.sharingId)) fail('bad-reply', 'answered from another sharing of the key')
  if (!equalBytes(answer.requestId, requestId)) fail('bad-reply', 'answered another request')

  const { purpose, keyId, epoch, sharingId } = key
  const ctx = pdecContext({ purpose, keyId, epoch, sharingId, index: node.index, requestId, requestHash })
  const content = await openBox(check.requesterKey, { ctx, box: answer.box, single: points.length === 1 })
  if (content === undefined) return fail('bad-box', 'sent a box that our RSA key does not open')
  const { box, signature } = answer
  const signed = answerSignedBytes({ ctx, box, content })
  if (!check.verify(node.publicKey, signed, signature))
    fail('bad-node-signature', 'sent an answer that its roster key did not sign')

  const blame = (): NodeFailure => {
    const failure = { index: node.index, name: node.name }
    // Evidence is judged by the strict verifier alone: what only a laxer one takes would prove nothing to others.
    if (!verifyEd25519(node.publicKey, signed, signature))
      return { ...failure, code: 'bad-node-signature', detail: 'sent an answer that its roster key did not sign' }
    const chain = { certificates: check.certificates, request: request.authorization.payload, index: node.index }
    const detail = 'signed a partial decryption that its proof does not support'
    return {
      ...failure,
      code: 'bad-partial',
      detail,
      evidence: encodeWrongPartialEvidence({ ...chain, box, signature, content }),
    }
  }
  const items = attempt(() => readItems(curve, content, { index: node.index, count: points.length }))
  if (items === undefined) throw new NodeFailureError(blame())
  return {
    index: node.index,
    items,
    proves(at) {
      const [item, K] = [items[at], points[at]]
      if (item === undefined || K === undefined) return false
      if (item.kind === 'refusal') return true
      return verifyPartial(curve, { verificationShare: trusted.verificationShare(key, node.index), K, ctx, ...item })
    },
    blame,
  }
}

/** @returns the content, or undefined where the box does not open, without a reason (protocol 12, row 42) */
async function openBox(
  requesterKey: RequesterKey,
  { ctx, box, single }: { readonly ctx: Uint8Array; readonly box: Uint8Array; readonly single: boolean },
): Promise<Uint8Array | undefined> {
  if (single) return requesterKey.unwrap(box)
  const parts = attempt(() => splitBox(box, requesterKey.blockBytes))
  const unwrapped = parts && (await requesterKey.unwrap(parts.rsaBlock))
  if (parts === undefined || unwrapped === undefined) return undefined
  const key = new Secret(unwrapped)
  try {
    return attempt(() => openBatch(key, ctx, parts.sealed))
  } finally {
    key.destroy()
  }
}

/** @returns undefined for content of another node or count. @throws KmsError for content of another shape. An honest node signs neither. */
function readItems(
  curve: Curve,
  content: Uint8Array,
  { index, count }: { readonly index: ParticipantIndex; readonly count: number },
): readonly BatchItem[] | undefined {
  const batch = count === 1 ? singleItem(curve, content) : decodeBatch(curve, content)
  return batch.index === index && batch.items.length === count ? batch.items : undefined
}

function singleItem(curve: Curve, content: Uint8Array): BatchContent {
  const { index, D, proof } = decodeSingle(curve, content)
  return { index, items: [{ kind: 'partial', D, proof }] }
}
