import {
  advanceKey,
  attempt,
  bytesKey,
  certificateKeyId,
  checkCertificate,
  type Cluster,
  type ClusterNode,
  committeeNodes,
  compactCertificates,
  configHash,
  type Curve,
  equalBytes,
  followChains,
  type KeyChain,
  type KmsError,
  type KeyId,
  type ParticipantIndex,
  type Pins,
  type PointBytes,
  type Refusal,
  readCertificateFacts,
  rememberVerified,
  taggedHash,
  verificationShare,
  type VerifiedKey,
  verifyEd25519,
  type VerifyMessage,
  withoutRefreshes,
} from '@tkms/dkg'
import { isKmsError, noSuchKey, severalKeys } from './errors.ts'
import { parseHex } from './hex.ts'
import { learnNodes } from './learn-nodes.ts'

export type KeySelector = string | Uint8Array

/** A cluster whose certificates all hold: the chain of each key, from the pinned committee to the latest epoch known. */
export interface TrustedCluster {
  /** As it was opened, with the certificates and addresses learnt since: worth storing, so that the next client begins there. */
  readonly cluster: Cluster
  /** The ECIES keys, each at its latest epoch. */
  readonly keys: readonly VerifiedKey[]
  /**
   * A key by its keyId, or the newest generation of a key name.
   * @param selector 32 bytes, "0x" and 64 hex digits, or a name ("ecies/421614"); undefined: the only key there is
   * @throws KmsError `unknown-key`, `ambiguous-key`
   */
  key(selector: KeySelector | undefined): VerifiedKey
  /** The members of the key's committee that can be reached: identities of the certificate, addresses of the address book. */
  nodesOf(key: VerifiedKey): readonly ClusterNode[]
  /** The certificates from the pinned committee to the latest epoch of this key. */
  chainOf(key: VerifiedKey): readonly Uint8Array[]
  /** Y_j, computed from the certificate and never taken from a node (protocol 6, step 5). */
  verificationShare(key: VerifiedKey, index: ParticipantIndex): PointBytes
  /**
   * Follows what other cluster files of this cluster add. Their certificates are verified as successors, and never lead below an
   * epoch already seen; their addresses are believed only for members that this cluster file does not name.
   */
  learn(files: readonly Cluster[]): Learnt
}

export interface Learnt {
  /** A key is new or got further, or a member has an address. */
  readonly changed: boolean
  /** The files that have a certificate which claims to lead on, and does not hold. */
  readonly forged: readonly Cluster[]
  /** A successor that less than a quorum of the old committee authorised: somebody must decide (protocol 6). */
  readonly degraded?: KmsError
}

export interface TrustOptions {
  readonly curve: Curve
  /** Config hashes of committees accepted by hand, 32 bytes each. */
  readonly accepted: readonly Uint8Array[]
}

/**
 * Verifies the certificates of the cluster file from its config hash on.
 * @throws KmsError `bad-certificate`, `degraded-certificate`
 */
export function trustCluster({ curve, accepted }: TrustOptions, opened: Cluster): TrustedCluster {
  const pins = { configHash: opened.configHash, accepted }
  const verify = rememberVerified(verifyEd25519, MAX_REMEMBERED_SIGNATURES)
  const followed = followChains(curve, verify, pins, opened.certificates)
  const chains = new Map(followed.map((chain) => [bytesKey(chain.key.keyId), chain]))
  const shares = new Map<string, PointBytes>()
  /** Certificates that led nowhere from where the chains are now: not looked at again. */
  const fruitless = new Set<string>()
  let cluster = opened
  let degraded: KmsError | undefined

  /** Adds the chains of keys not known yet that one file leads to, in rounds: one may begin with the committee of another. */
  const beginKeys = (
    byKey: ReadonlyMap<string, readonly Uint8Array[]>,
    { before, refused }: { readonly before: ReadonlyMap<string, KeyChain>; readonly refused: Refusal[] },
  ): readonly string[] => {
    const looked = new Set<string>()
    let added: boolean
    do {
      added = false
      const known = unique([...cluster.certificates, ...newSteps(chains, before)])
      const reached = committeesOf(curve, known)
      reached.add(bytesKey(pins.configHash))
      for (const [keyId, group] of byKey) {
        const name = groupName(group)
        if (chains.has(keyId) || looked.has(name) || fruitless.has(name)) continue
        // Before any signature is verified: who holds no key of this cluster can begin none.
        if (![...committeesOf(curve, group)].some((hash) => reached.has(hash))) continue
        looked.add(name)
        const chain = begin({ curve, verify, pins }, group, known, refused)
        if (chain === undefined) continue
        chains.set(keyId, chain)
        added = true
      }
    } while (added)
    return [...looked]
  }

  const latest = (): VerifiedKey[] => [...chains.values()].map(({ key }) => key)
  const keys = (): VerifiedKey[] => latest().filter((key) => key.purpose === 'ecies-dec')

  const learn = (files: readonly Cluster[]): Learnt => {
    const refused: Refusal[] = []
    const before = new Map(chains)
    const contents = files.map((file) => certificatesByKey(file))
    const looked: string[] = []
    for (const [keyId, chain] of before) {
      const all = unique(contents.flatMap((byKey) => byKey.get(keyId) ?? []))
      const fresh = all.filter((bytes) => !fruitless.has(nameOf(bytes)))
      if (fresh.length === 0) continue
      looked.push(...fresh.map((bytes) => nameOf(bytes)))
      chains.set(keyId, lengthen({ curve, verify, pins }, chain, fresh, refused))
    }
    // One file at a time: what one node adds to a key does not spoil what another one says of it.
    for (const byKey of contents) looked.push(...beginKeys(byKey, { before, refused }))
    const advanced = [...chains].some(([keyId, chain]) => before.get(keyId) !== chain)
    // What led nowhere may lead on once something before it is here.
    if (advanced || fruitless.size > MAX_FRUITLESS) fruitless.clear()
    else for (const name of looked) fruitless.add(name)
    const all = [...cluster.certificates, ...newSteps(chains, before)]
    const certificates = advanced ? compactCertificates(curve, unique(all)) : cluster.certificates
    const members = latest().flatMap(({ config }) => config.members)
    const book = learnNodes(opened, cluster, members, files)
    const changed = advanced || book !== cluster
    if (changed) cluster = { ...book, certificates }
    const problems = refused.map(({ problem }) => problem)
    degraded = problems.find(({ code }) => code === 'degraded-certificate') ?? (advanced ? undefined : degraded)
    const bad = new Set(
      refused.flatMap(({ certificate, problem: { code } }) =>
        code === 'bad-certificate' ? [bytesKey(certificate)] : [],
      ),
    )
    const forged = files.filter((file) => file.certificates.some((bytes) => bad.has(bytesKey(bytes))))
    return { changed, forged, ...(degraded && { degraded }) }
  }

  return {
    get cluster() {
      return cluster
    },
    get keys() {
      return keys()
    },
    key: (selector) => selectKey(keys(), selector),
    nodesOf: (key) => committeeNodes(cluster, key.config),
    chainOf(key) {
      const { steps = [key], support = [] } = chains.get(bytesKey(key.keyId)) ?? {}
      return [...support, ...steps.map(({ certificate }) => certificate)]
    },
    verificationShare(key, index) {
      const name = `${bytesKey(key.sharingId)}/${index}`
      const share = shares.get(name) ?? verificationShare(curve, key.commitment, index)
      shares.set(name, share)
      return share
    },
    learn,
  }
}

/** Certificates of one key in one file: far more than a chain of honest nodes has (`withoutRefreshes`). */
const MAX_CANDIDATES = 64

const MAX_FRUITLESS = 4_096

const unique = (certificates: readonly Uint8Array[]): Uint8Array[] => [
  ...new Map(certificates.map((bytes) => [bytesKey(bytes), bytes])).values(),
]

/** Signatures of a few hundred certificates: what was verified once is not verified again for every new key. */
const MAX_REMEMBERED_SIGNATURES = 16_384

const nameOf = (certificate: Uint8Array): string => bytesKey(taggedHash('certificate', certificate))

/** Not the name of any one certificate, nor of other certificates that join to the same bytes. */
const groupName = (certificates: readonly Uint8Array[]): string =>
  bytesKey(taggedHash('certificates', ...certificates.map((bytes) => taggedHash('certificate', bytes))))

/** Config hashes of the committees that made these certificates, in hex; those that cannot be read are left out. */
const committeesOf = (curve: Curve, certificates: readonly Uint8Array[]): Set<string> =>
  new Set(
    certificates.flatMap((bytes) => {
      const facts = attempt(() => readCertificateFacts(curve, bytes))
      return facts === undefined ? [] : [bytesKey(configHash(facts.key.config))]
    }),
  )

/** The certificates of one file by key; those that cannot be read are left out. */
function certificatesByKey({ certificates }: Cluster): ReadonlyMap<string, Uint8Array[]> {
  const keys = new Map<string, Uint8Array[]>()
  for (const bytes of unique(certificates)) {
    const keyId = attempt(() => bytesKey(certificateKeyId(bytes)))
    if (keyId === undefined) continue
    const group = keys.get(keyId) ?? []
    if (group.length < MAX_CANDIDATES) group.push(bytes)
    keys.set(keyId, group)
  }
  return keys
}

/** The certificates of the chains that are new or longer than before. */
const newSteps = (chains: ReadonlyMap<string, KeyChain>, before: ReadonlyMap<string, KeyChain>): Uint8Array[] =>
  [...chains].flatMap(([keyId, chain]) =>
    before.get(keyId) === chain ? [] : chain.steps.map(({ certificate }) => certificate),
  )

interface TrustPorts {
  readonly curve: Curve
  readonly verify: VerifyMessage
  readonly pins: Pins
}

/** The chain of a key that is not known yet, where the certificates of one file that hold lead to it. */
function begin(
  { curve, verify, pins }: TrustPorts,
  candidates: readonly Uint8Array[],
  known: readonly Uint8Array[],
  refused: Refusal[],
): KeyChain | undefined {
  const holding = candidates.filter((bytes) => {
    try {
      checkCertificate(curve, verify, bytes)
      return true
    } catch (error) {
      if (!isKmsError(error)) throw error
      refused.push({ certificate: bytes, problem: error })
      return false
    }
  })
  const [first] = holding
  if (first === undefined) return undefined
  const keyId = certificateKeyId(first)
  const chains = attempt(() => followChains(curve, verify, pins, [...holding, ...known]))
  return chains?.find(({ key }) => equalBytes(key.keyId, keyId))
}

/** The chain as far as the candidates lead: from its end, or where they only lead there from its beginning, from there. */
function lengthen(
  { curve, verify, pins: { accepted } }: TrustPorts,
  chain: KeyChain,
  candidates: readonly Uint8Array[],
  refused: Refusal[],
): KeyChain {
  const { key: last, steps } = chain
  const [first = last] = steps
  const known = new Set(steps.map(({ certificate }) => bytesKey(certificate)))
  const fresh = candidates.filter((bytes) => !known.has(bytesKey(bytes)))
  if (fresh.length === 0) return chain
  const onward = advanceKey(curve, verify, last, fresh, accepted)
  refused.push(...onward.refusals)
  if (onward.steps.length > 0)
    return { ...chain, key: onward.key, steps: withoutRefreshes([...steps, ...onward.steps]) }
  const all = [...fresh, ...steps.map((step) => step.certificate)]
  const again = advanceKey(curve, verify, first, all, accepted)
  const later = again.key.epoch > last.epoch || (again.key.epoch === last.epoch && again.key.attempt > last.attempt)
  return later ? { ...chain, key: again.key, steps: withoutRefreshes([first, ...again.steps]) } : chain
}

const KEY_ID_HEX = /^0x[0-9a-fA-F]{64}$/

function selectKey(keys: readonly VerifiedKey[], selector: KeySelector | undefined): VerifiedKey {
  const candidates =
    typeof selector === 'string' && !KEY_ID_HEX.test(selector)
      ? keys.filter((key) => key.keyName === selector)
      : keysById(keys, selector)
  const newest = candidates.toSorted((left, right) => right.generation - left.generation)[0]
  if (newest === undefined) throw noSuchKey(keyNames(keys))
  if (selector === undefined && candidates.some((key) => key.keyName !== newest.keyName))
    throw severalKeys(keyNames(keys))
  return newest
}

const keyNames = (keys: readonly VerifiedKey[]): readonly string[] => [...new Set(keys.map((key) => key.keyName))]

function keysById(keys: readonly VerifiedKey[], selector: KeySelector | undefined): readonly VerifiedKey[] {
  if (selector === undefined) return keys
  const keyId: Uint8Array | KeyId = typeof selector === 'string' ? parseHex(selector, 32, 'key') : selector
  return keys.filter((key) => equalBytes(key.keyId, keyId))
}
