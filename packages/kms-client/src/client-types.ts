import type { Cluster, ClusterId, Curve, Evidence, Secret, VerifiedKey, VerifyMessage } from '@tkms/dkg'
import type { AskLimits, NodeAnswer, ProofMode } from './ask-nodes.ts'
import type { DecryptOutcome } from './decrypt-many.ts'
import type { EncryptOptions } from './encrypt.ts'
import type { NodeFailure } from './errors.ts'
import type { GrantOptions, IssuedGrant } from './issue-grant.ts'
import type { RequesterKey } from './requester.ts'
import type { EnvelopeSource, SealedEnvelope } from './sealed-envelope.ts'
import type { SignedRequest } from './signed-request.ts'
import type { SessionOptions } from './sessions.ts'
import type { RequestSigner } from './signer.ts'
import type { HttpExchange } from './transport/exchange.ts'
import type { Transport } from './transport/types.ts'
import type { KeySelector } from './trust.ts'

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
  /**
   * Lets the signer sign one session per key instead of every request, and renews it before it ends: for wallets, whose owners are
   * asked each time. The requests are signed with a key that this process alone holds.
   */
  readonly sessions?: boolean | SessionOptions
  /** A bearer token for policies with a `token` rule: shown to every node that is asked, so worth nothing alone. */
  readonly token?: string
  /** What requests carry for policies beside a session and a grant, such as a quote of the machine that asks. */
  readonly evidence?: EvidenceSource
  /** Default: `http()`. The client closes it. */
  readonly transport?: Transport
  /** Default: noble. */
  readonly curve?: Curve
  /** Ed25519 over the nodes' answers; default: noble. Certificates and evidence are verified by noble always. */
  readonly verifySignature?: VerifyMessage
  /**
   * When the proofs in answers are verified. `on-failure`, the default: where the envelope commits to its key (version 2), only if the
   * combination does not open it, and then the lying node is found; elsewhere always first. `first`: always, so that a wrong proof is
   * found also where it does no harm.
   */
  readonly proofs?: ProofMode
  /** The RSA key answers are boxed to; default: a fresh one, made when first needed. */
  readonly requesterKey?: RequesterKey
  /** How cluster files are fetched, at first and whenever nodes have moved on to newer certificates; default: `fetch`. */
  readonly exchange?: HttpExchange
  readonly limits?: Partial<ClientLimits>
  /** Unix milliseconds; default: the system clock. */
  readonly nowMs?: () => number
  /** Told of every node that failed, also when the call succeeds: refusals, outages, and proven lies with their evidence. */
  readonly onNodeFailure?: (failure: NodeFailure) => void
  /** Told of every node whose answer counts, with its latency and what was verified. */
  readonly onNodeAnswer?: (answer: NodeAnswer) => void
  readonly signal?: AbortSignal
}

/** Asked before each request. What it gives is signed with it. */
export type EvidenceSource = (asked: EvidenceSubject) => Promise<readonly Evidence[]>

/** What evidence can be about. */
export interface EvidenceSubject {
  readonly clusterId: ClusterId
  /** Of the RSA key that answers are boxed to, DER. */
  readonly spki: Uint8Array
  /** publicKeyId of the client's signer, also where a session signs in its place. */
  readonly requester: string
  /** Unix milliseconds. */
  readonly nowMs: number
}

export interface DecryptOptions {
  readonly signal?: AbortSignal
  /** An encoded grant, as `issueGrant` makes it. */
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
  /** Several at once, at most `concurrency` (64) under way; those that are there together share requests of up to 64 items. Each failure is its own item. */
  decryptMany(
    envelopes: Iterable<EnvelopeSource> | AsyncIterable<EnvelopeSource>,
    options?: DecryptOptions & { readonly concurrency?: number },
  ): AsyncGenerator<DecryptOutcome, void, undefined>
  /** The raw shared secret of a point that a grant covers. @param ephemeralPublicKey K, 33 bytes @throws as `decrypt` */
  delegate(ephemeralPublicKey: Uint8Array, options?: DelegateOptions): Promise<SharedSecret>
  /** The signed request that `decrypt` would send, to inspect or to explain it by a node's policy. Nothing is sent. */
  request(envelope: EnvelopeSource, options?: DecryptOptions): Promise<SignedRequest>
  /**
   * A grant for one envelope, signed by this client's signer: for policies that list it under `issuers`. Nothing is sent.
   * @throws KmsError `no-signer`, `bad-argument`, `unknown-key`, `bad-envelope`
   */
  issueGrant(envelope: EnvelopeSource, options: GrantOptions): Promise<IssuedGrant>
  /**
   * Asks the nodes for newer certificates now; calls do so by themselves where they need to. Then `cluster` is what to store.
   * @returns whether anything was learnt @throws KmsError `degraded-certificate`, `cancelled`
   */
  follow(options?: { readonly signal?: AbortSignal }): Promise<boolean>
  /** Ends the transport. Calls under way fail. Idempotent. */
  close(): Promise<void>
}
