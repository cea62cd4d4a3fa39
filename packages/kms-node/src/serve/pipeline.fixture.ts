import {
  constants,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  randomBytes,
  sign as signEd25519,
} from 'node:crypto'
import {
  anyOf,
  type Authorization,
  type ClusterId,
  commit,
  createConfig,
  decodeNodePublicKey,
  type DelegationRequest,
  encodeGrant,
  encodeGrantBody,
  encodePolicy,
  encodeRequest,
  type GrantBody,
  grantSignedBytes,
  itemPoint,
  type KeyId,
  type ParticipantIndex,
  participantIndex,
  type Purpose,
  requestItemV2,
  type RequestItemV2,
  type RequestItemV1,
  requestSignedBytes,
  sealEnvelopeV2,
  Secret,
  type SharingId,
  type VerifiedKey,
  verificationShare,
} from '@tkms/dkg'
import { selectCurve } from '@tkms/curve-native'
import { bytesToHex } from '@noble/hashes/utils.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { type ChainReader, NO_CHAINS } from '../chain/chain-reader.ts'
import { memoryLedger } from '../audit/ledger.fixture.ts'
import { parsePolicy } from '../policy/policy-file.ts'
import type { Policy } from '../policy/policy.ts'
import { createQuotaBook } from '../policy/quota-rule.ts'
import { NO_QUOTES, type QuoteVerifiers } from '../attest/open-verifier.ts'
import type { RulePorts } from '../policy/rule-type.ts'
import { createSignatureVerifier } from '../policy/signature-verifier.ts'
import type { Clock, Rng } from '../ports.ts'
import type { MessageSigner } from '../http/message-signature.ts'
import type { ShareLender, ShareLookup } from './key-table.ts'
import { createDryRun, type DryRun, type DryRunEvent } from './dry-run.ts'
import { createRequesterVerifier } from './requester.ts'
import {
  createDelegationPipeline,
  type DelegationEvent,
  type DelegationPipeline,
  type PipelineOptions,
} from './pipeline.ts'

/** One node with one key, dealt here in the test; and requesters that speak to it. */

export const NOW_SECONDS = 1_800_000_000
export const { curve } = selectCurve()
export const rng: Rng = { bytes: (length) => new Uint8Array(randomBytes(length)) }
export const clock: Clock = { nowMs: () => NOW_SECONDS * 1000, monotonicMs: () => 0 }
export const bytes32 = (value: number): Uint8Array => new Uint8Array(32).fill(value)
export const clusterId = bytes32(1) as ClusterId
export const keyId = bytes32(2) as KeyId
export const sharingId = bytes32(3) as SharingId
export const index = participantIndex(2)

export interface Signer {
  readonly id: string
  readonly publicKey: Uint8Array
  sign(message: Uint8Array): Uint8Array
}

export function createSigner(): Signer {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(12))
  return {
    id: `ed25519:${bytesToHex(raw)}`,
    publicKey: raw,
    sign: (message) => new Uint8Array(signEd25519(null, message, privateKey)),
  }
}

export const node: Signer = createSigner()
/** The identity of the node that `createTestPipeline` makes. */
export const nodeSigner: MessageSigner = { publicKey: decodeNodePublicKey(node.publicKey), sign: node.sign }
export const alice: Signer = createSigner()
export const issuer: Signer = createSigner()

const members = [1, 2, 3].map((at) => ({
  index: participantIndex(at),
  publicKey: decodeNodePublicKey(at === 2 ? node.publicKey : createSigner().publicKey),
}))
/** s: what no node ever holds. */
export const groupSecret = 0x1234567n
const polynomial = [groupSecret, 0x89abcdefn]
const commitment = commit(curve, polynomial)
/** The share of one member, 1 to 3; the fixture's node is the second. */
export const shareAt = (member: number): Secret => {
  const value = groupSecret + BigInt(member) * 0x89abcdefn
  return new Secret(Buffer.from(value.toString(16).padStart(64, '0'), 'hex'))
}

export function verifiedKey(purpose: Purpose = 'ecies-dec'): VerifiedKey {
  const [groupKey] = commitment
  if (groupKey === undefined) throw new Error('no commitment')
  const config = createConfig({ clusterId, t: 2, members })
  const ceremony = bytes32(4) as VerifiedKey['ceremony']
  const certificate = Uint8Array.of(1)
  const key = { certificate, keyId, sharingId, ceremony, purpose, groupKey, commitment, config } as const
  const origin = { kind: 'keygen', attempt: 0, authorization: 'none', dealers: [index], trustedBy: 'pin' } as const
  return { ...key, ...origin, suite: 1, keyName: 'ecies/1', generation: 1, epoch: 0, t: 2 }
}

export const ownVerificationShare = verificationShare(curve, commitment, index)
export const groupKey = verifiedKey().groupKey

const rsaPair = generateKeyPairSync('rsa', { modulusLength: 2048 })
export const rsaPrivateKey: KeyObject = createPrivateKey(rsaPair.privateKey.export({ format: 'pem', type: 'pkcs8' }))
export const spki: Uint8Array = new Uint8Array(rsaPair.publicKey.export({ format: 'der', type: 'spki' }))

/** Opens an RSA block to the requester's key. */
export const openBlock = (block: Uint8Array): Uint8Array =>
  new Uint8Array(
    privateDecrypt({ key: rsaPrivateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, block),
  )

/** As the key table keeps it, in memory that threads have in common. */
export function inCommonMemory(share: Secret): Secret {
  const common = new Uint8Array(new SharedArrayBuffer(share.length))
  share.use((bytes) => common.set(bytes))
  return new Secret(common)
}

/** Lends a member's share of the one key to the handler of its purpose, as the key table does, and counts. */
export function createTestLender(
  member: ParticipantIndex = index,
): ShareLender & { uses: number; loans: number; onLoan: number } {
  const key = verifiedKey()
  const share = inCommonMemory(shareAt(member))
  const lender = {
    uses: 0,
    loans: 0,
    onLoan: 0,
    purpose: key.purpose,
    find: (wanted: KeyId, sharing: SharingId | undefined): ReturnType<ShareLender['find']> => {
      if (Buffer.compare(wanted, keyId) !== 0) return { kind: 'unknown-key' }
      if (sharing !== undefined && Buffer.compare(sharing, sharingId) !== 0) return { kind: 'wrong-sharing' }
      const served = { key, index: member, verificationShare: verificationShare(curve, commitment, member) }
      const borrow: Extract<ShareLookup, { kind: 'found' }>['borrow'] = () => {
        lender.loans++
        lender.onLoan++
        return {
          use: (fn) => {
            lender.uses++
            return fn(share)
          },
          end: () => void lender.onLoan--,
        }
      }
      return { kind: 'found', served, borrow }
    },
  }
  return lender
}

export const signatures = createSignatureVerifier({ maxKeys: 16 })
export const rulePorts = (chains: ChainReader = NO_CHAINS, quotes: QuoteVerifiers = NO_QUOTES): RulePorts => ({
  signatures,
  chains,
  quotas: createQuotaBook(),
  quotes,
})
/** Rules for every key, which is for v2 envelopes unless told otherwise. */
export const policyOf = (
  tree: object,
  chains: ChainReader = NO_CHAINS,
  envelopes: 'v1' | 'v2' = 'v2',
  quotes: QuoteVerifiers = NO_QUOTES,
): Policy =>
  parsePolicy(
    { version: 1, keys: { '*': { envelopes, ...tree } } },
    { file: 'policy.yaml', ports: rulePorts(chains, quotes) },
  )
/** Takes the grants of the test's issuer, for v1 envelopes. */
export const grantPolicy = (): Policy => policyOf({ rule: 'grant', issuers: [issuer.id] }, NO_CHAINS, 'v1')

export function createTestPipeline(overrides: Partial<PipelineOptions> = {}): {
  pipeline: DelegationPipeline
  dryRun: DryRun
  lender: ReturnType<typeof createTestLender>
  events: DelegationEvent[]
  explained: DryRunEvent[]
} {
  const lender = createTestLender()
  const events: DelegationEvent[] = []
  const explained: DryRunEvent[] = []
  const limits = { maxRequestsInFlight: 2, maxRequestsQueued: 2, rsaKeyCacheEntries: 16 }
  const options: PipelineOptions = {
    curve,
    clusterId,
    lender,
    requesters: createRequesterVerifier({ signatures, maxSessions: 16 }),
    policy: policyOf({ any: [{ rule: 'owner' }, { rule: 'grant', issuers: [issuer.id] }] }),
    ledger: memoryLedger(clock),
    sign: node.sign,
    clock,
    rng,
    limits,
    onEvent: (event) => events.push(event),
    ...overrides,
  }
  const dryRun = createDryRun({ ...options, onExplained: (event) => explained.push(event) })
  return { pipeline: createDelegationPipeline(options), dryRun, lender, events, explained }
}

/** A v2 item whose label names `owner`, or holds these policy bytes. */
export function itemFor(owner: Signer | Uint8Array, chainId = 0): RequestItemV2 {
  const policy = owner instanceof Uint8Array ? owner : encodePolicy(anyOf([{ kind: 'ed25519', key: owner.publicKey }]))
  const k = new Secret(rng.bytes(32).fill(0, 0, 1).fill(7, 1, 2))
  const sealed = sealEnvelopeV2(curve, {
    key: { keyId, groupKey },
    plaintext: Buffer.from('hello'),
    chainId,
    handle: rng.bytes(32),
    policy,
    k,
    aux: rng.bytes(32),
  })
  return requestItemV2(sealed)
}

/** A v1 item with a grant of `issuer` for alice, fields of the grant replaceable. */
export function grantedItem(changes: Partial<GrantBody> = {}, signer: Signer = issuer): RequestItemV1 {
  const K = itemPoint(itemFor(alice))
  const body = encodeGrantBody({
    clusterId,
    keyId,
    chainId: 0,
    handle: bytes32(9),
    K,
    recipientSpkiHash: sha256(spki),
    requester: alice.id,
    notBefore: NOW_SECONDS - 10,
    expiresAt: NOW_SECONDS + 10,
    grantId: bytes32(8),
    ...changes,
  })
  const grant = encodeGrant({ body, issuer: signer.id, signature: signer.sign(grantSignedBytes(body)) })
  return { version: 1, K, chainId: 0, handle: bytes32(9), grant }
}

export function requestOf(changes: Partial<DelegationRequest> = {}): DelegationRequest {
  return {
    clusterId,
    keyId,
    requestId: rng.bytes(32),
    notBefore: NOW_SECONDS - 60,
    expiresAt: NOW_SECONDS + 240,
    spki,
    publicKeyId: alice.id,
    evidence: [],
    items: [itemFor(alice)],
    ...changes,
  }
}

export function authorize(request: DelegationRequest, signer: Signer = alice): Authorization {
  return authorizeBytes(encodeRequest(request), signer)
}

export const authorizeBytes = (payload: Uint8Array, signer: Signer = alice): Authorization => ({
  payload,
  signature: signer.sign(requestSignedBytes(payload)),
  publicKeyId: signer.id,
})
