import { advanceKey } from './ceremony/certificate-chain.ts'
import {
  followCertificates,
  followChains,
  type KeyChain,
  withoutRefreshes,
  withoutStrayKeys,
} from './ceremony/follow-chains.ts'
import { certificateKeyId } from './ceremony/certificate.ts'
import { fullerCertificate } from './ceremony/fuller-authorization.ts'
import { readFacts, refuseCertificate } from './ceremony/check-certificate.ts'
import type { CommitteeConfig } from './ceremony/config.ts'
import { isSameName } from './ceremony/name-rule.ts'
import type { VerifiedKey } from './ceremony/verify-certificate.ts'
import {
  type Cluster,
  type ClusterNode,
  MAX_CLUSTER_CERTIFICATES,
  MAX_CLUSTER_NODES,
  oneIdentityEach,
} from './cluster.ts'
import { dkgError } from './errors.ts'
import { attempt, bytesKey, equalBytes } from './primitives/codec.ts'
import type { Curve } from './primitives/curve.ts'
import type { VerifyMessage } from './primitives/ed25519.ts'

/**
 * The keys of a cluster, each at the latest epoch that its certificates lead to from the genesis committee (protocol 6).
 * @param accepted config hashes of committees that a degraded AUTH leads to and that were accepted by hand, 32 bytes each
 * @throws KmsError `bad-certificate` when one does not hold, `degraded-certificate`
 */
export const clusterKeys = (
  curve: Curve,
  verify: VerifyMessage,
  cluster: Cluster,
  accepted: readonly Uint8Array[] = [],
): VerifiedKey[] =>
  followCertificates(curve, verify, { configHash: cluster.configHash, accepted }, cluster.certificates)

/**
 * The cluster with one more certificate, and of its key only those that the chain to the latest one needs: the first, and two for each
 * change of members. Refreshes by the same committee replace one another, and a full AUTH a degraded one of the same sharing. The cluster
 * itself when the certificate leads nowhere new.
 * Later generations of a name that its newly known first one does not lead to are left out: the file stays one that clients open.
 * @throws KmsError `bad-certificate`, `degraded-certificate`; `too-large` at 1024 certificates: nothing is ever dropped that a chain needs
 */
export function addCertificate(
  curve: Curve,
  verify: VerifyMessage,
  cluster: Cluster,
  certificate: Uint8Array,
  accepted: readonly Uint8Array[] = [],
): Cluster {
  const facts = readFacts(curve, certificate).key
  const { keyId, epoch } = facts
  const known = cluster.certificates.filter((bytes) => equalBytes(certificateKeyId(bytes), keyId))
  const weaker = known.find((bytes) => fullerCertificate(curve, verify, bytes, certificate) !== undefined)
  if (weaker !== undefined)
    return { ...cluster, certificates: cluster.certificates.map((bytes) => (bytes === weaker ? certificate : bytes)) }
  const before = chainOf(curve, verify, { ...cluster, accepted }, known.length === 0 ? [certificate] : known)
  const { key, steps, refused } = advanceKey(curve, verify, before.key, [certificate], accepted)
  const [problem] = refused
  if (problem !== undefined) throw problem
  if (epoch > key.epoch) refuseCertificate('no certificate before it leads to it')
  if (known.length > 0 && steps.length === 0) return cluster
  const others = cluster.certificates.filter((bytes) => !known.includes(bytes))
  const all = [...others, ...chainOrder(curve, [...known, certificate])]
  // A rival of an epoch that the chain went through may take the chain past the committee with which another key began.
  const rival = known.some((bytes) => readFacts(curve, bytes).key.epoch === epoch)
  const leads =
    known.length === 0 &&
    others.some((bytes) => {
      const { key: other } = readFacts(curve, bytes)
      return isSameName(other, facts) && other.generation > facts.generation
    })
  const certificates =
    leads || rival ? withoutStrayKeys(curve, verify, { configHash: cluster.configHash, accepted }, all) : all
  if (certificates.length > MAX_CLUSTER_CERTIFICATES)
    throw dkgError('too-large', `a cluster file holds at most ${MAX_CLUSTER_CERTIFICATES} certificates`, {
      data: { certificates: certificates.length },
    })
  return { ...cluster, certificates }
}

/** The chain of one key by its own certificates, or with those of the other keys, where they lead to its first committee. */
function chainOf(
  curve: Curve,
  verify: VerifyMessage,
  {
    configHash,
    certificates,
    accepted,
  }: Pick<Cluster, 'configHash' | 'certificates'> & { accepted: readonly Uint8Array[] },
  own: readonly Uint8Array[],
): KeyChain {
  const pins = { configHash, accepted }
  const others = certificates.filter((bytes) => !own.includes(bytes))
  const chains =
    attempt(() => followChains(curve, verify, pins, own)) ?? followChains(curve, verify, pins, [...own, ...others])
  return chains[0] ?? refuseCertificate('no certificate')
}

/** The same certificates without refreshes that are not needed, key by key. Nothing is verified. @throws KmsError `bad-certificate`, `bad-encoding` */
export function compactCertificates(curve: Curve, certificates: readonly Uint8Array[]): Uint8Array[] {
  const keys = new Map<string, Uint8Array[]>()
  for (const bytes of certificates) {
    const keyId = bytesKey(certificateKeyId(bytes))
    keys.set(keyId, [...(keys.get(keyId) ?? []), bytes])
  }
  return [...keys.values()].flatMap((group) => chainOrder(curve, group))
}

/** By epoch and attempt, refreshes by the same committee left out. Every committee stays: other keys may have begun with it. */
function chainOrder(curve: Curve, certificates: readonly Uint8Array[]): Uint8Array[] {
  const facts = certificates.map((bytes) => readFacts(curve, bytes).key)
  return withoutRefreshes(
    facts.toSorted((left, right) => left.epoch - right.epoch || left.attempt - right.attempt),
  ).map(({ certificate }) => certificate)
}

/**
 * The cluster with these entries in its address book; an entry replaces the one of the same identity.
 * @throws KmsError `bad-cluster-file` when an index or an identity would stand for two, or a name or URL for two nodes; `too-large`
 */
export function withNodes(cluster: Cluster, entries: readonly ClusterNode[]): Cluster {
  const replaced = (node: ClusterNode): boolean =>
    entries.some(({ publicKey }) => equalBytes(publicKey, node.publicKey))
  const nodes = [...cluster.nodes.filter((node) => !replaced(node)), ...entries].toSorted(
    (left, right) => left.index - right.index,
  )
  if (nodes.length > MAX_CLUSTER_NODES)
    throw dkgError('too-large', `a cluster file names at most ${MAX_CLUSTER_NODES} nodes`)
  if (!oneIdentityEach([...cluster.config.members, ...nodes]))
    throw dkgError('bad-cluster-file', 'an index would stand for two identities, or an identity for two indices')
  for (const field of ['index', 'name', 'url'] as const)
    if (new Set(nodes.map((node) => node[field])).size !== nodes.length)
      throw dkgError('bad-cluster-file', `two nodes would have the same ${field}`)
  return { ...cluster, nodes }
}

/**
 * The members of a key's committee that the address book knows how to reach. Index and identity come from the verified committee;
 * names and addresses are unauthenticated, whoever answers there is held against the identity.
 */
export const committeeNodes = (cluster: Cluster, config: CommitteeConfig): ClusterNode[] =>
  config.members.flatMap(({ index, publicKey }) => {
    const node = cluster.nodes.find((entry) => entry.index === index && equalBytes(entry.publicKey, publicKey))
    return node === undefined ? [] : [node]
  })
