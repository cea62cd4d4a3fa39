import { randomBytes } from 'node:crypto'
import { ed25519 } from '@noble/curves/ed25519.js'
import {
  type Authorization,
  type ClusterId,
  configHash,
  type Curve,
  decodeNodePublicKey,
  participantIndex,
  Secret,
  type VerifiedKey,
  verifyCertificate,
  verifyEd25519,
} from '@tkms/dkg'
import { runKeygen } from '@tkms/dkg/testing'
import {
  createDelegationPipeline,
  createKeyTable,
  createQuotaBook,
  createRequesterVerifier,
  createSignatureVerifier,
  createSigner,
  type DelegationPipeline,
  NO_CHAINS,
  NO_QUOTES,
  parsePolicy,
  type ReleaseLedger,
  systemClock,
  systemRng,
  type WorkerPool,
} from '@tkms/kms-node/serve'
import { createRequester } from './requester.ts'

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length))

interface Identity {
  readonly seed: Uint8Array
  readonly publicKey: Uint8Array
}

function createIdentity(): Identity {
  const seed = random(32)
  return { seed, publicKey: ed25519.getPublicKey(seed) }
}

/** One node of five with a share of a real key, its whole serving path in this process, and a requester of its own. */
export interface ServingNode {
  readonly pipeline: DelegationPipeline
  readonly key: VerifiedKey
  /** A signed request for fresh envelopes. @param items 1..256 */
  request(items: number): Authorization
}

export interface ServingNodeOptions {
  /** The requester's RSA key. */
  readonly spki?: Uint8Array
  /** Where it records its releases. */
  readonly ledger: ReleaseLedger
  /** So many envelopes are asked for in turn; default: fresh ones. */
  readonly envelopes?: number
  /** Threads that compute for it. */
  readonly workers?: WorkerPool | undefined
  /** Default: one request at a time. */
  readonly limits?: { readonly maxRequestsInFlight: number; readonly maxRequestsQueued: number }
}

export function createServingNode(curve: Curve, options: ServingNodeOptions): ServingNode {
  const { ledger, workers, limits = { maxRequestsInFlight: 1, maxRequestsQueued: 1 } } = options
  const identities = Array.from({ length: 5 }, createIdentity)
  const members = identities.map(({ seed, publicKey }, at) => ({
    index: participantIndex(at + 1),
    publicKey: decodeNodePublicKey(publicKey),
    sign: (message: Uint8Array) => ed25519.sign(message, seed),
  }))
  const clusterId = random(32) as ClusterId
  const { spec, certificate, shares } = runKeygen({
    curve,
    members,
    t: 3,
    clusterId,
    seedOf: () => new Secret(random(32)),
  })
  const [self] = members
  const [identity] = identities
  const share = shares.get(participantIndex(1))
  if (self === undefined || identity === undefined || share === undefined) throw new Error('five members were made')
  const pin = { configHash: configHash(spec.newConfig) }
  const key = verifyCertificate(curve, verifyEd25519, certificate, pin)
  const table = createKeyTable({ curve, self: self.publicKey })
  table.hold(key, share)
  const { keyId, purpose, sharingId } = key
  table.arrange({ keyId, purpose, sharings: [{ sharingId, answer: 'serve' }] })
  const signatures = createSignatureVerifier({ maxKeys: 16 })
  const pipeline = createDelegationPipeline({
    curve,
    clusterId,
    lender: table.lender('ecies-dec'),
    requesters: createRequesterVerifier({ signatures, maxSessions: 16 }),
    policy: parsePolicy(
      { version: 1, keys: { '*': { rule: 'owner' } } },
      { file: 'bench', ports: { signatures, chains: NO_CHAINS, quotas: createQuotaBook(), quotes: NO_QUOTES } },
    ),
    ledger,
    sign: createSigner(new Secret(Uint8Array.from(identity.seed))),
    clock: systemClock,
    rng: systemRng,
    limits: { ...limits, rsaKeyCacheEntries: 16 },
    workers,
    onEvent: () => undefined,
  })
  return { pipeline, key, request: createRequester(curve, { key, clusterId, ...options }) }
}
