import {
  type Cluster,
  type ClusterId,
  type ClusterNode,
  clusterKeys,
  type CommitteeConfig,
  configHash,
  createConfig,
  type Curve,
  decodeNodePublicKey,
  id32,
  type Member,
  participantIndex,
  type VerifiedKey,
  type VerifyMessage,
} from '@tkms/dkg'
import { selectCurve } from '@tkms/curve-native'
import { createConfig as createSourceConfig } from '../../packages/dkg/src/ceremony/config.ts'
import { formatNodeCard, parseNodeCard } from '../../packages/kms-node/src/cluster/node-card.ts'
import { keygenByHand, reshareByHand } from './hand-made.ts'
import { bytesOf, type Identity, simulatedCommittee } from './simulated-committee.ts'

const world = simulatedCommittee({ n: 9, t: 3, seed: 71 })
export const curve: Curve = selectCurve().curve
export const verify: VerifyMessage = (...args) => world.verify(...(args as unknown as Parameters<typeof world.verify>))
const clusterId = id32<ClusterId>(world.spec.clusterId, 'clusterId')

/** Those who sign. The compiler tells the source of @tkms/dkg, which makes certificates by hand, from its build, which nodes use. */
export const signers = (...indices: readonly number[]): Identity[] =>
  world.identities.filter(({ index }) => indices.includes(index))
/** The same identities, for the code under test. */
export const members = (...indices: readonly number[]): Member[] =>
  signers(...indices).map(({ index, publicKey }) => ({
    index: participantIndex(index),
    publicKey: decodeNodePublicKey(Uint8Array.from(publicKey)),
  }))
export const member = (index: number): Member => members(index)[0] ?? fail(`no identity ${index}`)
const fail = (message: string): never => {
  throw new Error(message)
}
export const nodeOf = ({ index, publicKey }: Member): ClusterNode => ({
  index,
  publicKey,
  name: `node-${index}`,
  multiaddrs: [`/ip4/127.0.0.1/tcp/${9000 + index}`],
  url: `https://127.0.0.1:${8000 + index}`,
  tlsSpkiSha256: bytesOf('tls', index),
})
export const nodes = (...indices: readonly number[]): ClusterNode[] => members(...indices).map(nodeOf)
export const cardOf = (of: Member, change: Partial<ClusterNode> = {}): ReturnType<typeof parseNodeCard> => {
  const { name, publicKey, multiaddrs, url, tlsSpkiSha256 } = { ...nodeOf(of), ...change }
  return parseNodeCard(formatNodeCard({ name, publicKey, multiaddrs, url, tlsSpkiSha256 }), name)
}
export const committee = (t: number, ...indices: readonly number[]): CommitteeConfig =>
  createConfig({ clusterId, t, members: members(...indices) })

const genesisConfig = committee(3, 1, 2, 3, 4, 5)
const first = signers(1, 2, 3, 4, 5)
const newConfig = createSourceConfig({ clusterId: world.spec.clusterId, t: 3, members: first })
/** A key of nodes 1 to 5, then at nodes 3, 4, 6 and 7. */
export const genesis = keygenByHand({ ...world.spec, newConfig }, first)
export const moved = reshareByHand(genesis, signers(3, 4, 6, 7), 3)
/** To nodes 3, 4 and 8 on the word of three of them: a degraded AUTH. */
export const degraded = reshareByHand(genesis, signers(3, 4, 8), 2, {
  authorizers: signers(1, 2, 3),
  dealers: signers(1, 2, 3),
})
/** The config hash that somebody has to accept for it. */
export const degradedHash = configHash(committee(2, 3, 4, 8))
/** Nodes 1 to 5, and no key. */
export const empty: Cluster = {
  config: genesisConfig,
  configHash: configHash(genesisConfig),
  nodes: nodes(1, 2, 3, 4, 5),
  certificates: [],
}
/** With their key. */
export const born: Cluster = { ...empty, certificates: [genesis.bytes] }
/** After the resharing to nodes 3, 4, 6 and 7. */
export const grown: Cluster = { ...born, nodes: nodes(1, 2, 3, 4, 5, 6, 7), certificates: [genesis.bytes, moved.bytes] }
/** The newest sharing of every key. */
export const keysOf = (cluster: Cluster, accepted: readonly Uint8Array[] = []): VerifiedKey[] =>
  clusterKeys(curve, verify, cluster, accepted)
/** Their committees, with a name for people. */
export const titled = (cluster: Cluster): { title: string; config: CommitteeConfig }[] =>
  keysOf(cluster).map(({ keyName, config }) => ({ title: keyName, config }))
