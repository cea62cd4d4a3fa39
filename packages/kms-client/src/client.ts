import {
  type Cluster,
  type Curve,
  decodePoint,
  type Envelope,
  equalBytes,
  nobleCurve,
  openEnvelopeV1,
  openEnvelopeV2,
  type RequestItem,
  requestItemV1,
  requestItemV2,
  Secret,
  sharedX,
  type VerifiedKey,
  verifyEnvelopeV2,
} from '@tkms/dkg'
import type { AskLimits, NodeAnswer } from './ask-nodes.ts'
import { askRounds } from './ask-rounds.ts'
import { type DecryptOutcome, decryptMany } from './decrypt-many.ts'
import { encrypt, type EncryptOptions } from './encrypt.ts'
import { clientError, isKmsError, type NodeFailure, throwIfCancelled } from './errors.ts'
import { loadCluster } from './fetch-cluster.ts'
import { createChainFollower } from './follow-chain.ts'
import { parseHex } from './hex.ts'
import { createNodeRecords } from './node-records.ts'
import { randomU32 } from './random.ts'
import { createRequesterKey, type RequesterKey } from './requester.ts'
import { type EnvelopeSource, readEnvelope, type SealedEnvelope } from './sealed-envelope.ts'
import { signRequest, type SignedRequest } from './signed-request.ts'
import type { RequestSigner } from './signer.ts'
import { fetchExchange, type HttpExchange } from './transport/exchange.ts'
import { http } from './transport/http.ts'
import type { Transport } from './transport/types.ts'
import { type KeySelector, trustCluster, type TrustedCluster } from './trust.ts'

const DEFAULT_LIMITS: ClientLimits = { nodeTimeoutMs: 10_000, totalTimeoutMs: 30_000, requestLifetimeSeconds: 300 }
const DEFAULT_CONCURRENCY = 16

export interface ClientLimits extends AskLimits {
  /** How long a node may accept a request, 1..3570: above the time of a call and of clock errors. */
  readonly requestLifetimeSeconds: number
}

export interface KmsClientOptions {
  /** A cluster file's parsed content, trusted as given; or where to fetch it, with the pin that makes it trustworthy. */
  readonly cluster: unknown
  /** The pin of a cluster file's content: 32 bytes, or "0x" and their hex. */
  readonly configHash?: Uint8Array | string
  /**
   * Config hashes of later committees that you know to be right although less than a quorum of the one before authorised them
   * (error `degraded-certificate`): 32 bytes each, or "0x" and their hex.
   */
  readonly acceptedConfigHashes?: readonly (Uint8Array | string)[]
  /** Signs requests; `encrypt` does without. */
  readonly signer?: RequestSigner
  /** Default: `http()`. The client closes it. */
  readonly transport?: Transport
  /** Default: noble. */
  readonly curve?: Curve
  /** The RSA key answers are boxed to; default: a fresh one, made when first needed. */
  readonly requesterKey?: RequesterKey
  /** How cluster files are fetched, at first and whenever nodes have moved on to newer certificates; default: `fetch`. */
  readonly exchange?: HttpExchange
  readonly limits?: Partial<ClientLimits>
  /** Unix milliseconds; default: the system clock. */
  readonly nowMs?: () => number
  /** Told of every node that failed, also when the call succeeds: refusals, outages, and proven lies with their evidence. */
  readonly onNodeFailure?: (failure: NodeFailure) => void
  /** Told of every node whose answer was verified, with its latency. */
  readonly onNodeAnswer?: (answer: NodeAnswer) => void
  readonly signal?: AbortSignal
}

export interface DecryptOptions {
  readonly signal?: AbortSignal
  /** An encoded grant (`encodeGrant`). */
  readonly grant?: Uint8Array
  /** The key of a v1 envelope, which names none itself. */
  readonly key?: KeySelector
  /** The chain of a v1 envelope; 0 = none. */
  readonly chainId?: number
}

export interface DelegateOptions {
  /** An encoded grant that covers this point. */
  readonly grant?: Uint8Array
  readonly key?: KeySelector
  readonly chainId?: number
  /** 32 bytes; zero unless given. */
  readonly handle?: Uint8Array
  readonly signal?: AbortSignal
}

/** S = s*K. The caller destroys both. */
export interface SharedSecret {
  /** 33 bytes, compressed. */
  readonly point: Secret
  /** The x coordinate, 32 bytes: what Nox calls the shared secret. */
  readonly x: Secret
}

/** A cluster, as somebody who encrypts to it and decrypts through it sees it. */
export interface KmsClient {
  /** The cluster file as it is known now: it grows with the certificates that the client follows. Worth storing for the next client. */
  readonly cluster: Cluster
  /** The cluster's ECIES keys, each at the latest epoch known, verified from the config hash on. */
  readonly keys: readonly VerifiedKey[]
  /** The RSA key of this client, for issuers of grants, which name the SHA-256 of its SPKI. */
  requesterKey(): Promise<RequesterKey>
  /** Offline. @throws KmsError `unknown-key`, `ambiguous-key`, `bad-argument`, `too-large` */
  encrypt(plaintext: Uint8Array, options?: EncryptOptions): Promise<SealedEnvelope>
  /** @throws QuorumError; KmsError `bad-envelope` for a malformed one (nobody is asked, or nobody is to blame), `no-signer`, `unknown-key`, `cancelled` */
  decrypt(envelope: EnvelopeSource, options?: DecryptOptions): Promise<Uint8Array>
  /** Several at once; see `decryptMany`. Each failure is its own item. */
  decryptMany(
    envelopes: Iterable<EnvelopeSource> | AsyncIterable<EnvelopeSource>,
    options?: DecryptOptions & { readonly concurrency?: number },
  ): AsyncGenerator<DecryptOutcome, void, undefined>
  /** The raw shared secret of a point that a grant covers. @param ephemeralPublicKey K, 33 bytes @throws as `decrypt` */
  delegate(ephemeralPublicKey: Uint8Array, options?: DelegateOptions): Promise<SharedSecret>
  /** The signed request that `decrypt` would send, to inspect or to explain it by a node's policy. Nothing is sent. */
  request(envelope: EnvelopeSource, options?: DecryptOptions): Promise<SignedRequest>
  /** Ends the transport. Calls under way fail. Idempotent. */
  close(): Promise<void>
}

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
  readonly item: RequestItem
  readonly grant: Uint8Array | undefined
}

/** A client of a cluster that is trusted already. `createKmsClient` is the way in. */
function wireKmsClient(
  options: Omit<KmsClientOptions, 'cluster'> & { readonly curve: Curve },
  trusted: TrustedCluster,
): KmsClient {
  const { curve, signer } = options
  const transport = options.transport ?? http()
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
  let requesterKey: Promise<RequesterKey> | undefined

  function ownKey(): Promise<RequesterKey> {
    requesterKey ??= options.requesterKey === undefined ? createRequesterKey() : Promise.resolve(options.requesterKey)
    return requesterKey
  }

  async function sign(key: VerifiedKey, item: RequestItem, grant: Uint8Array | undefined): Promise<SignedRequest> {
    if (signer === undefined) throw clientError('no-signer', 'asking the nodes needs a signer')
    const { spki } = await ownKey()
    const { clusterId } = trusted.cluster.config
    const { requestLifetimeSeconds: lifetimeSeconds } = limits
    return signRequest({
      signer,
      clusterId,
      key,
      spki,
      item,
      grant,
      nowMs: (options.nowMs ?? Date.now)(),
      lifetimeSeconds,
    })
  }

  async function ask({ key, item, grant }: Question, callerSignal: AbortSignal | undefined): Promise<Secret> {
    if (closed.signal.aborted) throw clientError('closed', 'this client is closed')
    const signal = callerSignal === undefined ? closed.signal : AbortSignal.any([closed.signal, callerSignal])
    const point = await askRounds({
      check: { curve, trusted, requesterKey: await ownKey() },
      follower,
      keyId: key.keyId,
      sign: (latest) => sign(latest, item, grant),
      transport,
      records,
      limits,
      signal,
      onNodeFailure: options.onNodeFailure ?? ((): void => undefined),
      onNodeAnswer: options.onNodeAnswer ?? ((): void => undefined),
    })
    return new Secret(point)
  }

  function questionOf(envelope: Envelope, call: DecryptOptions): Question {
    if (envelope.version === 1) {
      const permission = { chainId: call.chainId ?? 0, grant: call.grant ?? new Uint8Array(0) }
      return { key: trusted.key(call.key), item: requestItemV1(envelope, permission), grant: undefined }
    }
    const key = trusted.key(envelope.header.keyId)
    if (call.key !== undefined && !equalBytes(trusted.key(call.key).keyId, key.keyId))
      throw clientError('foreign-envelope', 'the envelope is sealed to another key than the one named')
    if (!verifyEnvelopeV2(curve, envelope))
      throw clientError('bad-envelope', 'the header proof does not cover this ciphertext, key and policy')
    return { key, item: requestItemV2(envelope), grant: call.grant }
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

  async function decrypt(source: EnvelopeSource, call: DecryptOptions = {}): Promise<Uint8Array> {
    throwIfCancelled(call.signal)
    const envelope = readEnvelope(curve, source)
    const question = await withNewKeys(() => questionOf(envelope, call), call.signal)
    const point = await ask(question, call.signal)
    try {
      return point.use((bytes) => {
        const D = decodePoint(curve, bytes)
        return envelope.version === 1 ? openEnvelopeV1(curve, envelope, D) : openEnvelopeV2(curve, envelope, D)
      })
    } finally {
      point.destroy()
    }
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
    decrypt,
    decryptMany: (envelopes, call = {}) =>
      decryptMany(envelopes, {
        concurrency: call.concurrency ?? DEFAULT_CONCURRENCY,
        signal: call.signal,
        decrypt: (envelope, signal) => decrypt(envelope, { ...call, signal }),
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
      const point = await ask({ key: trusted.key(call.key), item, grant: undefined }, call.signal)
      return { point, x: new Secret(point.use((bytes) => sharedX(decodePoint(curve, bytes)))) }
    },
    request: async (source, call = {}) => {
      const { key, item, grant } = questionOf(readEnvelope(curve, source), call)
      return sign(key, item, grant)
    },
    async close() {
      closed.abort()
      await transport.close()
    },
  }
}
