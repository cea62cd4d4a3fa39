import { constants, createPublicKey, publicEncrypt } from 'node:crypto'
import {
  type Answer,
  answerSignedBytes,
  type Authorization,
  type BatchItem,
  bytesKey,
  type ClusterJson,
  configHash as configHashOf,
  createPartial,
  type Curve,
  decodeAuthorization,
  decodeSession,
  type DelegationRequest,
  EVIDENCE_SESSION,
  formatPublicKeyId,
  requestStatement,
  encodeBatch,
  encodeSingle,
  equalBytes,
  itemPoint,
  type ParticipantIndex,
  type PartialContext,
  pdecContext,
  requestHash,
  sealBatch,
  Secret,
  type SingleContent,
  verifyStatement,
  verifyCertificate,
  verifyEd25519,
  type VerifiedKey,
  verifyHeaderProof,
} from '@tkms/dkg'
import type { Transport, TransportReply } from '../../transport/types.ts'
import { generateTestKey, present, type TestNode } from './test-keygen.ts'

/** What a node does differently from an honest one, at each place where it can. */
export interface Misconduct {
  readonly share?: Secret
  /** Signs and proves for another context. */
  readonly context?: (context: PartialContext) => PartialContext
  /** Proves for another context, signs for the right one. */
  readonly proofContext?: (context: PartialContext) => PartialContext
  readonly content?: (content: SingleContent) => SingleContent
  /** Of an answer to several items. */
  readonly item?: (item: BatchItem, at: number) => BatchItem
  readonly answer?: (answer: Answer) => Answer
  readonly reply?: TransportReply
}

export interface TestCluster {
  readonly key: VerifiedKey
  readonly nodes: readonly TestNode[]
  /** @param urlOf default: a closed loopback port */
  file(urlOf?: (index: number) => { url: string; tlsSpkiSha256?: string; multiaddrs?: readonly string[] }): ClusterJson
  /** What a node replies. It checks like a real one: signature, window, header proof. */
  reply(index: number, authorization: Authorization, misconduct?: Misconduct): TransportReply
}

const NAMES = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace']

export function createTestCluster(curve: Curve, options = { n: 5, t: 3, keyName: 'ecies/test' }): TestCluster {
  const { spec, certificate, nodes } = generateTestKey(curve, options)
  const configHash = configHashOf(spec.newConfig)
  const key = verifyCertificate(curve, verifyEd25519, certificate, { configHash })
  const closed = (index: number): { url: string } => ({ url: `http://127.0.0.1:${index}` })
  return {
    key,
    nodes,
    file: (urlOf = closed) => ({
      version: 1,
      clusterId: `0x${bytesKey(spec.clusterId)}`,
      threshold: options.t,
      nodes: nodes.map((node, at) => ({
        index: node.index,
        name: present(NAMES[at]),
        ed25519: `0x${bytesKey(node.publicKey)}`,
        multiaddrs: [],
        ...urlOf(node.index),
      })),
      certificates: [`0x${bytesKey(certificate)}`],
    }),
    reply: (index, authorization, misconduct = {}) =>
      misconduct.reply ?? {
        kind: 'answer',
        answer: answerOf(curve, key, present(nodes[index - 1]), authorization, misconduct),
      },
  }
}

function answerOf(
  curve: Curve,
  key: VerifiedKey,
  node: TestNode,
  authorization: Authorization,
  misconduct: Misconduct,
): Answer {
  const request = decodeAuthorization(curve, authorization)
  if (!isSigned(authorization, request)) throw new Error('the request is not signed')
  for (const item of request.items)
    if (item.version === 2 && !verifyHeaderProof(curve, item)) throw new Error('the header proof does not hold')
  const context: PartialContext = {
    purpose: key.purpose,
    keyId: key.keyId,
    epoch: key.epoch,
    sharingId: key.sharingId,
    index: node.index,
    requestId: request.requestId,
    requestHash: requestHash(authorization.payload),
  }
  const ctx = pdecContext(misconduct.context?.(context) ?? context)
  const proofCtx = misconduct.proofContext === undefined ? ctx : pdecContext(misconduct.proofContext(context))
  const items = request.items.map((item, at): BatchItem => {
    const aux = crypto.getRandomValues(new Uint8Array(32))
    const share = misconduct.share ?? node.share
    const { D, proof } = createPartial(curve, { share, K: itemPoint(item), ctx: proofCtx, aux })
    const honest: BatchItem = { kind: 'partial', D, proof }
    return misconduct.item?.(honest, at) ?? honest
  })
  const { content, box } = boxOf(node.index, request.spki, ctx, items, misconduct)
  const signature = node.sign(answerSignedBytes({ ctx, box, content }))
  const answer: Answer = { index: node.index, sharingId: key.sharingId, requestId: request.requestId, box, signature }
  return misconduct.answer?.(answer) ?? answer
}

function boxOf(
  index: ParticipantIndex,
  spki: Uint8Array,
  ctx: Uint8Array,
  items: readonly BatchItem[],
  misconduct: Misconduct,
): { readonly content: Uint8Array; readonly box: Uint8Array } {
  const [only] = items
  if (items.length === 1 && only?.kind === 'partial') {
    const honest: SingleContent = { index, D: only.D, proof: only.proof }
    const content = encodeSingle(misconduct.content?.(honest) ?? honest)
    return { content, box: wrap(spki, content) }
  }
  const content = encodeBatch({ index, items })
  const key = crypto.getRandomValues(new Uint8Array(32))
  const sealed = sealBatch(Secret.copyOf(key), ctx, content)
  return { content, box: Uint8Array.of(...wrap(spki, key), ...sealed) }
}

/** By the requester, or by the key of the session that came along. */
function isSigned({ payload, signature, publicKeyId }: Authorization, request: DelegationRequest): boolean {
  const session = request.evidence.find(({ kind }) => kind === EVIDENCE_SESSION)
  const signer =
    session === undefined
      ? publicKeyId
      : formatPublicKeyId({ kind: 'ed25519', key: decodeSession(session.bytes).sessionKey })
  return verifyStatement(verifyEd25519, signer, requestStatement(request, payload), signature)
}

/** RSA-OAEP-SHA-256 as a node makes it. */
function wrap(spki: Uint8Array, content: Uint8Array): Uint8Array {
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  return Uint8Array.from(publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, content))
}

/** A node of a memory transport: a reply, an error, silence until it is aborted, or a refusal of the first request it gets. */
export type Conduct = Misconduct | 'silent' | 'replayed-once' | Error

/** A transport without a network, over the Transport port, with real cryptography behind it. */
export interface MemoryTransport extends Transport {
  readonly asked: number[]
  readonly aborted: number[]
}

export function createMemoryTransport(
  cluster: TestCluster,
  conduct: Readonly<Record<number, Conduct>> = {},
  onAsk: (asked: readonly number[]) => void = () => undefined,
): MemoryTransport {
  const asked: number[] = []
  const aborted: number[] = []
  const seen: Uint8Array[] = []
  return {
    asked,
    aborted,
    ask(node, authorization, { signal }) {
      asked.push(node.index)
      signal.addEventListener('abort', () => aborted.push(node.index), { once: true })
      onAsk(asked)
      const behaviour = conduct[node.index]
      if (behaviour === 'silent') return new Promise(() => undefined)
      if (behaviour === 'replayed-once') {
        const first = asked.filter((index) => index === node.index).length === 1
        if (first) seen.push(authorization.payload)
        const known = seen.some((payload) => equalBytes(payload, authorization.payload))
        const refusal: TransportReply = { kind: 'refusal', code: 'replayed' }
        return Promise.resolve(known ? refusal : cluster.reply(node.index, authorization))
      }
      if (behaviour instanceof Error) return Promise.reject(behaviour)
      return Promise.resolve(cluster.reply(node.index, authorization, behaviour))
    },
    close: () => Promise.resolve(),
  }
}

/** A refusal, as conduct. */
export const refusing = (reply: Omit<Extract<TransportReply, { kind: 'refusal' }>, 'kind'>): Misconduct => ({
  reply: { kind: 'refusal', ...reply },
})
