import { randomBytes } from 'node:crypto'
import { ed25519 } from '@noble/curves/ed25519.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import {
  anyOf,
  type Authorization,
  type ClusterId,
  configHash,
  type Curve,
  decodeNodePublicKey,
  encodePolicy,
  encodeRequest,
  type EnvelopeV2,
  participantIndex,
  requestItemV2,
  requestSignedBytes,
  sealEnvelopeV2,
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
  parsePolicy,
  type ReleaseLedger,
  systemClock,
  systemRng,
} from '@tkms/kms-node/serve'

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

/** @param options.spki the requester's RSA key; `ledger`: where it records its releases */
export function createServingNode(
  curve: Curve,
  options: { readonly spki: Uint8Array; readonly ledger: ReleaseLedger },
): ServingNode {
  const { spki, ledger } = options
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
      { file: 'bench', ports: { signatures, chains: NO_CHAINS, quotas: createQuotaBook() } },
    ),
    ledger,
    sign: createSigner(new Secret(Uint8Array.from(identity.seed))),
    clock: systemClock,
    rng: systemRng,
    limits: { maxRequestsInFlight: 1, maxRequestsQueued: 1, rsaKeyCacheEntries: 16 },
    onEvent: () => undefined,
  })
  const requester = createIdentity()
  return { pipeline, key, request: (items) => signedRequest(curve, items, { key, clusterId, spki, requester }) }
}

function signedRequest(
  curve: Curve,
  items: number,
  input: {
    readonly key: VerifiedKey
    readonly clusterId: ClusterId
    readonly spki: Uint8Array
    readonly requester: Identity
  },
): Authorization {
  const { key, clusterId, spki, requester } = input
  const nowSeconds = Math.floor(Date.now() / 1000)
  const policy = encodePolicy(anyOf([{ kind: 'ed25519', key: requester.publicKey }]))
  const seal = (): EnvelopeV2 =>
    sealEnvelopeV2(curve, {
      key,
      plaintext: random(64),
      chainId: 0,
      handle: random(32),
      policy,
      k: new Secret(random(32).fill(1, 0, 1)),
      aux: random(32),
    })
  const publicKeyId = `ed25519:${bytesToHex(requester.publicKey)}`
  const payload = encodeRequest({
    clusterId,
    keyId: key.keyId,
    requestId: random(32),
    notBefore: nowSeconds - 10,
    expiresAt: nowSeconds + 300,
    spki,
    publicKeyId,
    evidence: [],
    items: Array.from({ length: items }, () => requestItemV2(seal())),
  })
  return { payload, signature: ed25519.sign(requestSignedBytes(payload), requester.seed), publicKeyId }
}
