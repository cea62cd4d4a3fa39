import { concatBytes } from '@noble/hashes/utils.js'
import { loadNativeCurve } from '@tkms/curve-native'
import { type Cluster as ClientCluster, type Curve, nobleCurve, parseCluster } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { type CeremonySpec, configHash, createConfig } from '../../packages/dkg/src/ceremony/config.ts'
import { addCertificate, clusterKeys } from '../../packages/dkg/src/cluster-keys.ts'
import { type Cluster, formatCluster } from '../../packages/dkg/src/cluster.ts'
import { entryOf } from '../support/moving-cluster.ts'
import { createChainFollower } from '../../packages/kms-client/src/follow-chain.ts'
import { trustCluster, type TrustedCluster } from '../../packages/kms-client/src/trust.ts'
import { type HandMade, keygenByHand, reshareByHand } from '../support/hand-made.ts'
import { type Identity, simulatedCommittee } from '../support/simulated-committee.ts'

const world = simulatedCommittee({ n: 12, t: 3, seed: 61, signatures: 'ed25519' })
const { curve, verify, identities } = world
const { clusterId } = world.spec
const members = (...indices: readonly number[]): Identity[] => identities.filter(({ index }) => indices.includes(index))
const first = members(1, 2, 3, 4, 5)
const second = members(3, 4, 6, 7)
const third = members(8, 9, 10, 11)
const spec: CeremonySpec = { ...world.spec, newConfig: createConfig({ clusterId, t: 3, members: first }) }
const genesis = keygenByHand(spec, first)
const born: Cluster = {
  config: spec.newConfig,
  configHash: configHash(spec.newConfig),
  nodes: first.map((identity) => entryOf(identity)),
  certificates: [genesis.bytes],
}
const clientCurve: Curve = loadNativeCurve() ?? nobleCurve
/** As a client reads it from a file. */
const read = (cluster: Cluster): ClientCluster => parseCluster(formatCluster(cluster))
const trust = (cluster: ClientCluster): TrustedCluster => trustCluster({ curve: clientCurve, accepted: [] }, cluster)
const open = (cluster: Cluster): TrustedCluster => trust(read(cluster))
const generationsOf = ({ keys }: Pick<TrustedCluster, 'keys'>): number[] =>
  keys.map(({ generation }) => generation).toSorted((left, right) => left - right)
const add = (cluster: Cluster, ...made: readonly HandMade[]): Cluster =>
  made.reduce<Cluster>((grown, { bytes }) => addCertificate(curve, verify, grown, bytes), cluster)
const withCertificates = (...certificates: readonly Uint8Array[]): ClientCluster => ({ ...read(born), certificates })
const keyOf = (changes: Partial<CeremonySpec>, committee: readonly Identity[]): HandMade =>
  keygenByHand({ ...spec, ...changes } as CeremonySpec, [...committee])

describe('a fork of attempts', () => {
  const lower = reshareByHand(genesis, second, 2)
  const rotated = keyOf({ generation: 2, newConfig: lower.spec.newConfig }, second)
  const higher = reshareByHand(genesis, third, 2, {}, { attempt: 1 })
  const generations = (cluster: Cluster): number[] =>
    clusterKeys(curve, verify, cluster)
      .map(({ generation }) => generation)
      .toSorted((left, right) => left - right)

  it('leaves a cluster file that everybody opens, with what the lower attempt began', () => {
    const file = add(born, lower, rotated)
    expect(generations(file)).toEqual([1, 2])
    const after = add(file, higher)
    expect(generations(after)).toEqual([1, 2])
    expect(generationsOf(open(after))).toEqual([1, 2])
    expect(generations(add(after, reshareByHand(rotated, second, 2)))).toEqual([1, 2])
  })

  it('leaves a running client a file that the next one opens', () => {
    const client = open(add(born, lower, rotated))
    expect(client.learn([read(add(born, lower, rotated, higher))]).changed).toBe(true)
    expect(trust(client.cluster).keys.map(({ generation, attempt }) => [generation, attempt])).toContainEqual([1, 1])
  })
})

describe('what a client learns', () => {
  it('is not hidden by certificates put together into one', () => {
    const other = keyOf({ keyName: 'ecies/other' }, first)
    const moved = reshareByHand(other, second, 2)
    const client = open(born)
    client.learn([withCertificates(concatBytes(other.bytes, moved.bytes))])
    expect(client.learn([withCertificates(genesis.bytes, other.bytes, moved.bytes)]).changed).toBe(true)
    expect(client.keys).toHaveLength(2)
  })

  it('does not depend on the order of a file', () => {
    const next = keyOf({ generation: 2 }, first)
    const moved = reshareByHand(next, second, 2)
    const last = keyOf({ generation: 3, newConfig: moved.spec.newConfig }, second)
    for (const certificates of [
      [genesis, next, moved, last],
      [genesis, last, next, moved],
    ]) {
      const client = open(born)
      client.learn([withCertificates(...certificates.map(({ bytes }) => bytes))])
      expect(generationsOf(client)).toEqual([1, 2, 3])
    }
  })

  it('verifies no signature for keys of committees that hold none of the cluster', () => {
    const strangers = members(8, 9, 10)
    const newConfig = createConfig({ clusterId, t: 2, members: strangers })
    const broken = ({ bytes }: HandMade): Uint8Array =>
      Uint8Array.from(bytes, (byte, at) => (at === bytes.length - 1 ? byte ^ 1 : byte))
    const ofStrangers = broken(keyOf({ keyName: 'ecies/junk', newConfig }, strangers))
    const ofMembers = broken(keyOf({ keyName: 'ecies/junk' }, first))
    expect(open(born).learn([withCertificates(ofStrangers)])).toEqual({ changed: false, forged: [] })
    const file = withCertificates(ofMembers)
    expect(open(born).learn([file])).toEqual({ changed: false, forged: [file] })
  })

  it('blames the node with the forgery, not the one whose certificate leads up to it', async () => {
    const moved = reshareByHand(genesis, second, 2)
    const beyond = reshareByHand(moved, first, 2)
    const broken = Uint8Array.from(beyond.bytes, (byte, at) => (at === beyond.bytes.length - 1 ? byte ^ 1 : byte))
    const of = (certificate: Uint8Array): ClientCluster => withCertificates(genesis.bytes, certificate)
    const client = open(born)
    expect(client.learn([of(broken)])).toEqual({ changed: false, forged: [] })
    const blamed: number[] = []
    const follower = createChainFollower({
      trusted: open(born),
      // The first node lies, all others say so much as they know; the second answers when the first was heard.
      exchange: async ({ url }) => {
        const file = url.includes(':8001/') ? of(broken) : url.includes(':8002/') ? of(moved.bytes) : of(genesis.bytes)
        if (!url.includes(':8001/')) await new Promise((resolve) => setImmediate(resolve))
        return {
          status: 200,
          body: new TextEncoder().encode(JSON.stringify(formatCluster(file as unknown as Cluster))),
        }
      },
      order: (nodes) => nodes,
      onForgery: ({ index }) => void blamed.push(index),
      closed: new AbortController().signal,
    })
    expect((await follower.refresh(AbortSignal.timeout(10_000))).changed).toBe(true)
    expect(blamed).toEqual([1])
  })
})
