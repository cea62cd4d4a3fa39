import {
  advanceKey,
  attempt,
  bytesKey,
  certificateKeyId,
  type Cluster,
  type ClusterNode,
  committeeNodes,
  compactCertificates,
  type Curve,
  equalBytes,
  followChains,
  type KeyChain,
  type KmsError,
  type KeyId,
  type ParticipantIndex,
  type PointBytes,
  taggedHash,
  verificationShare,
  type VerifiedKey,
  verifyEd25519,
  withoutRefreshes,
} from '@tkms/dkg'
import { clientError } from './errors.ts'
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
  /** One of the certificates claims to lead on, and does not hold. */
  readonly forged: boolean
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
  const followed = followChains(curve, verifyEd25519, pins, opened.certificates)
  const chains = new Map(followed.map((chain) => [bytesKey(chain.key.keyId), chain]))
  const shares = new Map<string, PointBytes>()
  /** Certificates that led nowhere from where the chains are now: not looked at again. */
  const fruitless = new Set<string>()
  let cluster = opened
  let degraded: KmsError | undefined

  const latest = (): VerifiedKey[] => [...chains.values()].map(({ key }) => key)
  const keys = (): VerifiedKey[] => latest().filter((key) => key.purpose === 'ecies-dec')

  const learn = (files: readonly Cluster[]): Learnt => {
    const refused: KmsError[] = []
    const candidates = candidatesOf(files, fruitless)
    const before = new Map(chains)
    for (const [keyId, group] of candidates) {
      const chain = chains.get(keyId)
      const further =
        chain === undefined
          ? attempt(() => followChains(curve, verifyEd25519, pins, [...group, ...cluster.certificates])[0])
          : lengthen({ curve, accepted }, chain, group, refused)
      if (further !== undefined) chains.set(keyId, further)
    }
    const advanced = [...chains].some(([keyId, chain]) => before.get(keyId) !== chain)
    // What led nowhere may lead on once something before it is here.
    if (advanced || fruitless.size > MAX_FRUITLESS) fruitless.clear()
    else for (const bytes of [...candidates.values()].flat()) fruitless.add(nameOf(bytes))
    const steps = [...chains].flatMap(([keyId, chain]) => (before.get(keyId) === chain ? [] : chain.steps))
    const all = [...cluster.certificates, ...steps.map(({ certificate }) => certificate)]
    const certificates = advanced ? compactCertificates(curve, unique(all)) : cluster.certificates
    const members = latest().flatMap(({ config }) => config.members)
    const book = learnNodes(opened, cluster, members, files)
    const changed = advanced || book !== cluster
    if (changed) cluster = { ...book, certificates }
    degraded = refused.find(({ code }) => code === 'degraded-certificate') ?? (advanced ? undefined : degraded)
    const forged = refused.some(({ code }) => code === 'bad-certificate')
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

const nameOf = (certificate: Uint8Array): string => bytesKey(taggedHash('certificate', certificate))

/** The certificates of these files by key, none twice, none of those to be left out. */
function candidatesOf(files: readonly Cluster[], leftOut: ReadonlySet<string>): ReadonlyMap<string, Uint8Array[]> {
  const keys = new Map<string, Map<string, Uint8Array>>()
  for (const { certificates } of files)
    for (const bytes of certificates) {
      const keyId = attempt(() => bytesKey(certificateKeyId(bytes)))
      if (keyId === undefined || leftOut.has(nameOf(bytes))) continue
      const group = keys.get(keyId) ?? new Map<string, Uint8Array>()
      if (group.size < MAX_CANDIDATES * files.length) group.set(bytesKey(bytes), bytes)
      keys.set(keyId, group)
    }
  return new Map([...keys].map(([keyId, group]) => [keyId, [...group.values()]]))
}

/** The chain as far as the candidates lead: from its end, or where they only lead there from its beginning, from there. */
function lengthen(
  { curve, accepted }: TrustOptions,
  chain: KeyChain,
  candidates: readonly Uint8Array[],
  refused: KmsError[],
): KeyChain {
  const { key: last, steps } = chain
  const [first = last] = steps
  const known = new Set(steps.map(({ certificate }) => bytesKey(certificate)))
  const fresh = candidates.filter((bytes) => !known.has(bytesKey(bytes)))
  if (fresh.length === 0) return chain
  const onward = advanceKey(curve, verifyEd25519, last, fresh, accepted)
  refused.push(...onward.refused)
  if (onward.steps.length > 0)
    return { ...chain, key: onward.key, steps: withoutRefreshes([...steps, ...onward.steps]) }
  const all = [...fresh, ...steps.map((step) => step.certificate)]
  const again = advanceKey(curve, verifyEd25519, first, all, accepted)
  const later = again.key.epoch > last.epoch || (again.key.epoch === last.epoch && again.key.attempt > last.attempt)
  return later ? { ...chain, key: again.key, steps: withoutRefreshes([first, ...again.steps]) } : chain
}

const KEY_ID_HEX = /^0x[0-9a-fA-F]{64}$/

function selectKey(keys: readonly VerifiedKey[], selector: KeySelector | undefined): VerifiedKey {
  const byName = typeof selector === 'string' && !KEY_ID_HEX.test(selector)
  const candidates = byName ? keys.filter((key) => key.keyName === selector) : keysById(keys, selector)
  const newest = candidates.toSorted((left, right) => right.generation - left.generation)[0]
  if (newest === undefined)
    throw clientError(
      'unknown-key',
      'the cluster has no certificate of this key that could be found: take the cluster.json of a node that has made it',
    )
  if (selector === undefined && candidates.some((key) => key.keyName !== newest.keyName))
    throw clientError('ambiguous-key', 'the cluster has several keys: name one', {
      data: { keys: [...new Set(keys.map((key) => key.keyName))] },
    })
  return newest
}

function keysById(keys: readonly VerifiedKey[], selector: KeySelector | undefined): readonly VerifiedKey[] {
  if (selector === undefined) return keys
  const keyId: Uint8Array | KeyId = typeof selector === 'string' ? parseHex(selector, 32, 'key') : selector
  return keys.filter((key) => equalBytes(key.keyId, keyId))
}
