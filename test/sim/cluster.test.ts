import { describe, expect, it } from 'vitest'
import { type CeremonySpec, configHash, createConfig } from '../../packages/dkg/src/ceremony/config.ts'
import { addCertificate, clusterKeys, committeeNodes, withNodes } from '../../packages/dkg/src/cluster-keys.ts'
import {
  type Cluster,
  type ClusterNode,
  formatCluster,
  MAX_CLUSTER_CERTIFICATES,
  parseCluster,
} from '../../packages/dkg/src/cluster.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import { type HandMade, keygenByHand, reshareByHand } from '../support/hand-made.ts'
import { bytesOf, type Identity, simulatedCommittee } from '../support/simulated-committee.ts'

const world = simulatedCommittee({ n: 8, t: 3, seed: 61 })
const { curve, verify, identities } = world
const { clusterId } = world.spec
const members = (...indices: readonly number[]): Identity[] => identities.filter(({ index }) => indices.includes(index))
const node = ({ index, publicKey }: Identity, name = `node-${index}`): ClusterNode => ({
  index,
  publicKey,
  name,
  multiaddrs: [`/ip4/127.0.0.1/tcp/${9000 + index}`],
  url: `https://127.0.0.1:${8000 + index}`,
  tlsSpkiSha256: bytesOf('tls', index),
})

const first = members(1, 2, 3, 4, 5)
const second = members(3, 4, 6, 7)
const spec: CeremonySpec = { ...world.spec, newConfig: createConfig({ clusterId, t: 3, members: first }) }
const genesis = keygenByHand(spec, first)
const born: Cluster = {
  config: spec.newConfig,
  configHash: configHash(spec.newConfig),
  nodes: first.map((identity) => node(identity)),
  certificates: [genesis.bytes],
}
const keysOf = (cluster: Cluster) => clusterKeys(curve, verify, cluster)
const add = (cluster: Cluster, ...made: readonly HandMade[]): Cluster =>
  made.reduce((grown, { bytes }) => addCertificate(curve, verify, grown, bytes), cluster)
const badFile: unknown = expect.objectContaining({ code: 'bad-cluster-file' })
const read = (cluster: Cluster): Cluster => parseCluster(JSON.parse(JSON.stringify(formatCluster(cluster))))

describe('a cluster that changes its members', () => {
  it('keeps its pin: later members and candidates are only in the address book', () => {
    expect(formatCluster(born)).not.toHaveProperty('genesis')
    const grown = withNodes(
      born,
      second.map((identity) => node(identity)),
    )
    const file = formatCluster(grown)
    expect(file.genesis?.map(({ index }) => index)).toEqual([1, 2, 3, 4, 5])
    expect(file.nodes).toHaveLength(7)
    expect(read(grown)).toMatchObject({ configHash: born.configHash, config: { n: 5, t: 3 } })
    const former = { ...grown, nodes: grown.nodes.filter(({ index }) => index > 2) }
    expect(read(former)).toMatchObject({ configHash: born.configHash })
    expect(read(former).nodes.map(({ index }) => index)).toEqual([3, 4, 5, 6, 7])
    expect(formatCluster({ ...former, nodes: born.nodes })).toEqual(formatCluster(born))
  })

  it('gives one index one identity for ever, and names nobody twice', () => {
    const [one, , , four] = first
    const [six] = members(6)
    if (one === undefined || four === undefined || six === undefined) throw new Error('no members')
    const file = formatCluster(withNodes(born, [node(six)]))
    const renamed = (change: object) => ({
      ...file,
      nodes: [...file.nodes.slice(0, -1), { ...file.nodes.at(-1), ...change }],
    })
    expect(parseCluster(renamed({ name: 'six' })).configHash).toEqual(born.configHash)
    for (const change of [{ index: 1 }, { index: 9, ed25519: file.nodes[0]?.ed25519 }, { name: 'node-1' }])
      expect(() => parseCluster(renamed(change))).toThrow(badFile)
    const others = file.nodes.slice(1)
    expect(() => parseCluster({ ...file, nodes: [{ ...others.at(-1), index: 1 }, ...others.slice(0, -1)] })).toThrow(
      badFile,
    )
    expect(() => parseCluster({ ...file, genesis: file.genesis?.slice(0, 2) })).toThrow(badFile)
    expect(() => parseCluster({ ...file, genesis: [{ ...file.genesis?.[0], name: 'x' }] })).toThrow(badFile)
    expect(() => withNodes(born, [node({ ...six, index: four.index })])).toThrow(badFile)
    expect(() => withNodes(born, [node({ ...one, index: participantIndex(20) })])).toThrow(badFile)
    expect(() => withNodes(born, [node(six, 'node-1')])).toThrow(badFile)
    expect(withNodes(born, [node(one, 'renamed')]).nodes[0]?.name).toBe('renamed')
  })

  it('names the nodes of a committee by its verified identities, not by what the address book says', () => {
    const grown = add(
      withNodes(
        born,
        [...members(6)].map((identity) => node(identity)),
      ),
      reshareByHand(genesis, second, 2),
    )
    const [key] = keysOf(grown)
    if (key === undefined) throw new Error('no key')
    expect(committeeNodes(grown, key.config).map(({ index }) => index)).toEqual([3, 4, 6])
    const [eight] = members(8)
    const liar = {
      ...grown,
      nodes: grown.nodes.map((entry) => (entry.index === 6 && eight ? node({ ...eight, index: entry.index }) : entry)),
    }
    expect(committeeNodes(liar, key.config).map(({ index }) => index)).toEqual([3, 4])
  })
})

describe('the certificates of a cluster', () => {
  it('lead to the latest epoch of each key', () => {
    const other = keygenByHand({ ...spec, keyName: 'ecies/other' }, first)
    const reshared = reshareByHand(genesis, second, 2)
    const cluster = add(born, other, reshared, reshareByHand(reshared, second, 2))
    expect(keysOf(read(cluster)).map(({ keyName, epoch }) => [keyName, epoch])).toEqual([
      ['ecies/other', 0],
      ['ecies/test', 2],
    ])
  })

  it('stay few: of many refreshes by one committee the last is enough', () => {
    let latest = genesis
    let cluster = born
    for (let week = 0; week < 12; week++) {
      latest = reshareByHand(latest, first, 3)
      cluster = add(cluster, latest)
    }
    const moved = reshareByHand(latest, second, 2)
    cluster = add(cluster, moved, reshareByHand(moved, second, 2))
    expect(cluster.certificates).toHaveLength(4)
    expect(keysOf(cluster)[0]).toMatchObject({ epoch: 14, t: 2 })
  })

  it('keep every committee that other keys began with', () => {
    const moved = reshareByHand(genesis, second, 2)
    const rotated = keygenByHand({ ...spec, generation: 2, newConfig: moved.spec.newConfig }, second)
    const back = reshareByHand(moved, first, 3)
    const cluster = add(born, moved, rotated, back, reshareByHand(back, first, 3))
    expect(keysOf(read(cluster)).map(({ generation, epoch }) => [generation, epoch])).toEqual([
      [2, 0],
      [1, 3],
    ])
  })

  it('are added once, in order, and never those of an epoch left behind', () => {
    const refreshed = reshareByHand(genesis, first, 3)
    const cluster = add(born, refreshed)
    expect(add(cluster, refreshed)).toBe(cluster)
    expect(add(cluster, genesis)).toBe(cluster)
    const later = reshareByHand(reshareByHand(refreshed, second, 2), first, 3)
    expect(add(cluster, later)).not.toBe(cluster)
    const gap = reshareByHand(reshareByHand(refreshed, second, 2), members(6, 7, 8), 2)
    expect(() => add(cluster, gap)).toThrow(expect.objectContaining({ code: 'bad-certificate' }))
    expect(cluster.certificates).toHaveLength(2)
  })

  it('of a degraded hand-over are added when its committee was accepted', () => {
    const weak = reshareByHand(genesis, second, 2, { authorizers: members(1, 2, 3) })
    expect(() => add(born, weak)).toThrow(expect.objectContaining({ code: 'degraded-certificate' }))
    const accepted = [configHash(weak.spec.newConfig)]
    const cluster = addCertificate(curve, verify, born, weak.bytes, accepted)
    expect(clusterKeys(curve, verify, cluster, accepted)[0]?.epoch).toBe(1)
  })

  it('begin with no committee that was accepted by hand: it only leads on', () => {
    const moved = reshareByHand(genesis, second, 2)
    const accepted = [configHash(moved.spec.newConfig)]
    const prized = keygenByHand({ ...spec, keyName: 'ecies/prized' }, first)
    const taken = keygenByHand({ ...prized.spec, generation: 2, newConfig: moved.spec.newConfig }, second)
    for (const made of [[moved], [genesis, moved, prized, taken]]) {
      const cluster = { ...born, certificates: made.map(({ bytes }) => bytes) }
      expect(() => clusterKeys(curve, verify, cluster, accepted)).toThrow(
        expect.objectContaining({ code: 'bad-certificate' }),
      )
    }
  })

  it('are bounded, and none is dropped to make room', () => {
    const other = keygenByHand({ ...spec, keyName: 'ecies/other' }, first)
    const full = { ...born, certificates: Array<Uint8Array>(MAX_CLUSTER_CERTIFICATES).fill(other.bytes) }
    expect(() => add(full, genesis)).toThrow(expect.objectContaining({ code: 'too-large' }))
  })
})
