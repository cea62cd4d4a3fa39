import {
  bytesKey,
  type ClusterId,
  type Curve,
  decodePoint,
  type Envelope,
  equalBytes,
  isBearerToken,
  nobleCurve,
  openEnvelopeV2,
  type ParticipantIndex,
  type PointBytes,
  type RequestItem,
  requestItemV1,
  requestItemV2,
  Secret,
  sharedX,
  type VerifiedKey,
  verifyEd25519,
  verifyEnvelopeV2,
} from '@tkms/dkg'
import { askRounds } from './ask-rounds.ts'
import type { ClientLimits, DecryptOptions, KmsClient, KmsClientOptions } from './client-types.ts'
import { decryptMany } from './decrypt-many.ts'
import { encrypt } from './encrypt.ts'
import { clientError, isKmsError, throwIfCancelled } from './errors.ts'
import { loadCluster } from './fetch-cluster.ts'
import { createChainFollower } from './follow-chain.ts'
import { parseHex } from './hex.ts'
import { attemptPlaintext, plaintextOf, pointOf } from './item-result.ts'
import { issueGrant } from './issue-grant.ts'
import { createNodeRecords } from './node-records.ts'
import { randomU32 } from './random.ts'
import { cancellable } from './cancellable.ts'
import { createRequesterKey, type RequesterKey } from './requester.ts'
import { type EnvelopeSource, readEnvelope } from './sealed-envelope.ts'
import { createSessions, type Sessions } from './sessions.ts'
import type { AskedItem, ItemResult } from './settle-items.ts'
import { signRequest, type SignedRequest } from './signed-request.ts'
import { fetchExchange } from './transport/exchange.ts'
import { http } from './transport/http.ts'
import type { Transport } from './transport/types.ts'
import { trustCluster, type TrustedCluster } from './trust.ts'

const DEFAULT_LIMITS: ClientLimits = { nodeTimeoutMs: 10_000, totalTimeoutMs: 30_000, requestLifetimeSeconds: 300 }
const DEFAULT_CONCURRENCY = 64

/**
 * Opens a cluster: checks its file and the chain of certificates in it, and returns a client. When the nodes have moved on to a newer
 * sharing, the client follows by itself: it fetches their certificates, verifies them as successors of those it knows, and asks again.
 * @throws KmsError `bad-cluster-file`, `bad-certificate`, `degraded-certificate`, `pin-mismatch`, `cluster-unreachable`
 * @example
 * const kms = await createKmsClient({ cluster: JSON.parse(text), signer })
 * const envelope = await kms.encrypt(bytes, { key: 'ecies/421614', owners: [signer.publicKeyId] })
 * const plaintext = await kms.decrypt(envelope)
 */
export async function createKmsClient(options: KmsClientOptions): Promise<KmsClient> {
  const curve = options.curve ?? nobleCurve
  const timeout = AbortSignal.timeout(options.limits?.totalTimeoutMs ?? DEFAULT_LIMITS.totalTimeoutMs)
  const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal])
  const exchange = options.exchange ?? fetchExchange()
  const cluster = await loadCluster(options.cluster, { configHash: options.configHash, exchange, signal })
  const accepted = (options.acceptedConfigHashes ?? []).map((hash) =>
    typeof hash === 'string' ? parseHex(hash, 32, 'acceptedConfigHashes') : hash,
  )
  return wireKmsClient({ ...options, curve }, trustCluster({ curve, accepted }, cluster))
}

/** What the nodes are asked, whatever the sharing that answers. */
interface Question {
  readonly key: VerifiedKey
  readonly items: readonly AskedItem[]
  readonly grant: Uint8Array | undefined
}

/** An envelope that is well-formed and of this cluster, with the question for it. */
interface ReadEnvelope extends Question {
  readonly envelope: Envelope
  readonly item: RequestItem
}

/** A client of a cluster that is trusted already. `createKmsClient` is the way in. */
function wireKmsClient(
  options: Omit<KmsClientOptions, 'cluster'> & { readonly curve: Curve },
  trusted: TrustedCluster,
): KmsClient {
  const { curve, signer } = options
  const transport = withToken(options.transport ?? http(), options.token)
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const records = createNodeRecords(randomU32)
  const closed = new AbortController()
  const follower = createChainFollower({
    trusted,
    exchange: options.exchange ?? fetchExchange(),
    order: (nodes) => records.order(nodes),
    onForgery: ({ index }) => records.misbehaved(index),
    closed: closed.signal,
  })
  const nowMs = options.nowMs ?? Date.now
  const sessions = openSessions(options, trusted.cluster.config.clusterId)
  let requesterKey: Promise<RequesterKey> | undefined

  function ownKey(): Promise<RequesterKey> {
    requesterKey ??= options.requesterKey === undefined ? createRequesterKey() : Promise.resolve(options.requesterKey)
    return requesterKey
  }

  async function sign({ items, grant }: Question, key: VerifiedKey): Promise<SignedRequest> {
    if (signer === undefined) throw clientError('no-signer', 'asking the nodes needs a signer')
    const { spki } = await ownKey()
    const { clusterId } = trusted.cluster.config
    const { requestLifetimeSeconds: lifetimeSeconds } = limits
    const asker = (await sessions?.asker(key.keyId, spki)) ?? { ...signer, evidence: [] }
    const { publicKeyId: requester } = signer
    const given = (await options.evidence?.({ clusterId, spki, requester, nowMs: nowMs() })) ?? []
    return signRequest({
      asker: { ...asker, evidence: [...asker.evidence, ...given] },
      clusterId,
      key,
      spki,
      items: items.map(({ item }) => item),
      grant,
      nowMs: nowMs(),
      lifetimeSeconds,
    })
  }

  /** One result per item of the question, in its order. */
  async function ask(
    question: Question,
    callerSignal: AbortSignal | undefined,
    without: ReadonlySet<ParticipantIndex> = new Set(),
  ): Promise<readonly ItemResult[]> {
    if (closed.signal.aborted) throw clientError('closed', 'this client is closed')
    const signal = callerSignal === undefined ? closed.signal : AbortSignal.any([closed.signal, callerSignal])
    return askRounds({
      check: { curve, verify: options.verifySignature ?? verifyEd25519, trusted, requesterKey: await ownKey() },
      follower,
      keyId: question.key.keyId,
      items: question.items,
      without,
      proofs: options.proofs ?? 'on-failure',
      sign: (latest) => cancellable(sign(question, latest), signal),
      transport,
      records,
      limits,
      signal,
      onNodeFailure: options.onNodeFailure ?? ((): void => undefined),
      onNodeAnswer: options.onNodeAnswer ?? ((): void => undefined),
    })
  }

  function questionOf(envelope: Envelope, call: Pick<DecryptOptions, 'key' | 'chainId' | 'grant'>): ReadEnvelope {
    if (envelope.version === 1) {
      const permission = { chainId: call.chainId ?? 0, grant: call.grant ?? new Uint8Array(0) }
      const item = requestItemV1(envelope, permission)
      return { envelope, item, key: trusted.key(call.key), items: [{ item }], grant: undefined }
    }
    const key = trusted.key(envelope.header.keyId)
    if (call.key !== undefined && !equalBytes(trusted.key(call.key).keyId, key.keyId))
      throw clientError('foreign-envelope', 'the envelope is sealed to another key than the one named')
    if (!verifyEnvelopeV2(curve, envelope))
      throw clientError('bad-envelope', 'the header proof does not cover this ciphertext, key and policy')
    const open = (point: PointBytes): Uint8Array => openEnvelopeV2(curve, envelope, point)
    const item = requestItemV2(envelope)
    return { envelope, item, key, items: [{ item, open }], grant: call.grant }
  }

  /** A key that was made after the cluster file: the nodes are asked for its certificate, once. */
  async function withNewKeys<T>(find: () => T, signal: AbortSignal | undefined): Promise<T> {
    try {
      return find()
    } catch (error) {
      if (!isKmsError(error) || error.code !== 'unknown-key' || closed.signal.aborted) throw error
    }
    await follower.refresh(signal ?? closed.signal)
    throwIfCancelled(signal)
    return find()
  }

  async function read(source: EnvelopeSource, call: DecryptOptions): Promise<ReadEnvelope> {
    throwIfCancelled(call.signal)
    const envelope = readEnvelope(curve, source)
    return withNewKeys(() => questionOf(envelope, call), call.signal)
  }

  async function decrypt(question: ReadEnvelope, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const [result] = await ask(question, signal)
    return plaintextOf(curve, question.envelope, result)
  }

  return {
    get cluster() {
      return trusted.cluster
    },
    get keys() {
      return trusted.keys
    },
    requesterKey: ownKey,
    encrypt: async (plaintext, call = {}) => encrypt(curve, trusted, plaintext, call),
    decrypt: async (source, call = {}) => decrypt(await read(source, call), call.signal),
    decryptMany: (envelopes, call = {}) =>
      decryptMany(envelopes, {
        concurrency: call.concurrency ?? DEFAULT_CONCURRENCY,
        signal: call.signal,
        prepare: (source: EnvelopeSource, signal) => read(source, { ...call, signal }),
        groupOf: ({ envelope, key }) => `${envelope.version} ${bytesKey(key.keyId)}`,
        decryptTogether: async (questions, signal, without) => {
          const results = await ask(together(questions), signal, without)
          // What others allow after all, whoever refused it did not help with: asked later from now on.
          if (results.some(({ kind }) => kind !== 'refused'))
            for (const index of without) records.failed(index, limits.nodeTimeoutMs)
          return questions.map(({ envelope }, at) => attemptPlaintext(curve, envelope, results[at]))
        },
        decryptAlone: decrypt,
      }),
    async delegate(ephemeralPublicKey, call = {}) {
      throwIfCancelled(call.signal)
      const item: RequestItem = {
        version: 1,
        K: decodePoint(curve, ephemeralPublicKey, 'ephemeralPublicKey'),
        chainId: call.chainId ?? 0,
        handle: call.handle ?? new Uint8Array(32),
        grant: call.grant ?? new Uint8Array(0),
      }
      const [result] = await ask({ key: trusted.key(call.key), items: [{ item }], grant: undefined }, call.signal)
      const point = pointOf(result)
      return { point: new Secret(point), x: new Secret(sharedX(point)) }
    },
    request: async (source, call = {}) => {
      const question = questionOf(readEnvelope(curve, source), call)
      return sign(question, question.key)
    },
    issueGrant: async (source, grant) => {
      if (signer === undefined) throw clientError('no-signer', 'a grant needs a signer: that of its issuer')
      const { key, item } = questionOf(readEnvelope(curve, source), grant)
      const { clusterId } = trusted.cluster.config
      return issueGrant({ issuer: signer, clusterId, key, item, options: grant, nowMs: nowMs() })
    },
    async follow({ signal } = {}) {
      throwIfCancelled(signal)
      const { changed, degraded } = await follower.refresh(signal ?? closed.signal)
      if (!changed && degraded !== undefined) throw degraded
      return changed
    },
    async close() {
      closed.abort()
      sessions?.close()
      await transport.close()
    },
  }
}

/** Questions for one key, as one request. */
const together = (questions: readonly ReadEnvelope[]): Question => {
  const [first] = questions
  if (first === undefined) throw clientError('bad-argument', 'there is nothing to ask')
  return { key: first.key, items: questions.flatMap(({ items }) => items), grant: first.grant }
}

function openSessions(
  { signer, sessions = false, nowMs = Date.now }: Pick<KmsClientOptions, 'signer' | 'sessions' | 'nowMs'>,
  clusterId: ClusterId,
): Sessions | undefined {
  if (sessions === false || signer === undefined) return undefined
  return createSessions({ signer, clusterId, options: sessions === true ? {} : sessions, nowMs })
}

function withToken(transport: Transport, token: string | undefined): Transport {
  if (token === undefined) return transport
  if (!isBearerToken(token)) throw clientError('bad-argument', 'a token is 1 to 256 characters of b68token (RFC 6750)')
  return {
    ask: (node, authorization, call) => transport.ask(node, authorization, { ...call, token }),
    close: () => transport.close(),
  }
}
