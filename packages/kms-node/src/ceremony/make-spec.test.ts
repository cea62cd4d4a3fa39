import {
  type CeremonySpec,
  checkCertificate,
  type ClusterNode,
  createConfig,
  emptySlot,
  nobleCurve,
  participantIndex,
  Secret,
  type SlotState,
  verifyEd25519,
} from '@tkms/dkg'
import { runKeygen } from '@tkms/dkg/testing'
import { expect, test } from 'vitest'
import { createSigner, publicKeyOf } from '../identity/ed25519-signer.ts'
import { testCluster } from '../net/test-hosts.fixture.ts'
import { checkSpec } from './check-spec.ts'
import { makeSpec, type SpecContext } from './make-spec.ts'
import type { CeremonyKeys, KnownKey } from './ports.ts'
import type { NewMember, ProposeInput } from './propose-input.ts'

const cluster = testCluster(4, [])
const NOW_S = 1_800_000_000
const seedOf = (index: number): Secret => new Secret(new Uint8Array(32).fill(index))
const members = cluster.nodes.map(({ index, publicKey }) => ({ index, publicKey, sign: createSigner(seedOf(index)) }))
const { certificate } = runKeygen({
  curve: nobleCurve,
  members,
  t: 2,
  clusterId: cluster.config.clusterId,
  keyName: 'ecies/1',
  seedOf: (index, use) => new Secret(new Uint8Array(32).fill(index + (use === 'dealing' ? 100 : 200))),
})
const key: KnownKey = {
  key: { ...checkCertificate(nobleCurve, verifyEd25519, certificate), trustedBy: 'pin' },
  hasShare: true,
}
const keys: CeremonyKeys = {
  list: () => [key],
  find: () => key,
  copyShare: () => undefined,
  install: () => Promise.reject(new Error('nothing is certified here')),
  learn: async () => undefined,
}
const contextOf = (change: Partial<SpecContext> = {}): SpecContext => ({
  cluster,
  self: participantIndex(1),
  nodes: cluster.nodes,
  keys,
  curve: nobleCurve,
  nowS: NOW_S,
  slot: () => emptySlot,
  specs: () => [],
  undecided: () => [],
  ...change,
})
const fresh: NewMember = {
  name: 'frank',
  publicKey: publicKeyOf(seedOf(50)),
  multiaddrs: ['/ip4/127.0.0.1/tcp/1'],
  url: 'http://127.0.0.1:50',
}
const reshare = (change: object = {}): ProposeInput => ({ kind: 'reshare', keyName: 'ecies/1', ...change })
const check = (spec: CeremonySpec, nodes: readonly ClusterNode[] = []): void =>
  checkSpec(
    { cluster, self: participantIndex(1), nodes: cluster.nodes, keys, undecided: () => [], nowS: NOW_S },
    spec,
    nodes,
  )

test('a refresh continues the newest sharing with the same committee', () => {
  const { spec, nodes } = makeSpec(contextOf(), reshare())
  expect(spec).toMatchObject({ kind: 'reshare', epoch: 1, attempt: 0, newConfig: { n: 4, t: 2 } })
  expect(nodes).toEqual([])
  expect(() => check(spec)).not.toThrow()
})

test('a new member gets an index that nobody ever had, also not in a proposal that is open', () => {
  const first = makeSpec(contextOf(), reshare({ add: [fresh] }))
  expect(first.nodes).toMatchObject([{ name: 'frank', index: 5 }])
  expect(() => check(first.spec, first.nodes)).not.toThrow()
  expect(() => check(first.spec)).toThrow('where node 5 is reached')
  const other = { ...fresh, name: 'grace', publicKey: publicKeyOf(seedOf(51)) }
  const second = makeSpec(contextOf({ specs: () => [first.spec] }), reshare({ add: [other], remove: ['node-2'] }))
  expect(second.spec.newConfig.members.map(({ index }) => index)).toEqual([1, 3, 4, 6])
})

test.each([
  ['a node nobody knows', { add: ['heidi'] }, 'unknown-node'],
  ['a member that is one already', { add: ['node-2'] }, 'already-a-member'],
  ['a member that is none', { remove: ['frank'] }, 'unknown-node'],
  ['a threshold of all members', { threshold: 4 }, 'bad-config'],
  ['a key nobody knows', { keyName: 'ecies/2' }, 'unknown-key'],
])('a resharing with %s is refused', (_what, change, code) => {
  expect(() => makeSpec(contextOf(), reshare(change))).toThrow(expect.objectContaining({ code }))
})

test('an open attempt is given up only explicitly', () => {
  const open: SlotState = {
    floor: 0,
    entries: [{ attempt: 0, ceremony: key.key.ceremony, approval: 'plain', abandoned: false, decidedAgainst: false }],
  }
  const context = contextOf({ slot: () => open })
  expect(() => makeSpec(context, reshare())).toThrow(expect.objectContaining({ code: 'attempt-open' }))
  expect(makeSpec(context, reshare({ supersede: true })).spec.attempt).toBe(1)
})

test('an index that belongs to another node, or a known node under a new one, is refused', () => {
  const { spec } = makeSpec(contextOf(), reshare())
  const [first, second, third, fourth] = cluster.config.members
  if (first === undefined || second === undefined || third === undefined || fourth === undefined)
    throw new Error('four')
  const { clusterId } = cluster.config
  const stolen = createConfig({
    clusterId,
    t: 2,
    members: [first, second, third, { ...fourth, publicKey: fresh.publicKey }],
  })
  expect(() => check({ ...spec, newConfig: stolen })).toThrow('indices are never used again')
  const moved = createConfig({
    clusterId,
    t: 2,
    members: [first, second, third, { ...fourth, index: participantIndex(9) }],
  })
  expect(() => check({ ...spec, newConfig: moved })).toThrow('a known node the new index 9')
})

test('an import names the public key and its importer, and no key that exists', () => {
  const input = { kind: 'import', keyName: 'ecies/old', purpose: 'ecies-dec', key: seedOf(7) } as const
  const { spec } = makeSpec(contextOf(), input)
  expect(spec).toMatchObject({ kind: 'import', epoch: 0, oldConfig: { n: 1, t: 1, members: [{ index: 1 }] } })
  expect(() => check(spec)).not.toThrow()
  expect(() => makeSpec(contextOf(), { ...input, keyName: 'ecies/1' })).toThrow(
    expect.objectContaining({ code: 'key-exists' }),
  )
})

const smaller = createConfig({ clusterId: cluster.config.clusterId, t: 2, members: cluster.config.members.slice(1) })
/** The key at epoch 1, without the first member of the genesis committee. */
const movedKey: KnownKey = { ...key, key: { ...key.key, epoch: 1, config: smaller } }
const movedKeys: CeremonyKeys = {
  ...keys,
  list: () => [movedKey],
  history: () => [movedKey.key, key.key],
}
const keygen = { kind: 'keygen', keyName: 'ecies/1', purpose: 'ecies-dec', generation: 2 } as const
const otherCommittee: unknown = expect.objectContaining({ code: 'other-committee' })

test('the next generation of a name goes to the committee that holds the name, named by number or not', () => {
  const context = contextOf({ keys: movedKeys })
  for (const input of [keygen, { ...keygen, generation: undefined, rotate: true }])
    expect(makeSpec(context, input).spec).toMatchObject({ generation: 2, newConfig: { n: 3, t: 2 } })
  expect(makeSpec(context, { ...keygen, keyName: 'ecies/new', generation: 7 }).spec).toMatchObject({
    generation: 7,
    newConfig: { n: 4 },
  })
})

test('a name is taken by no committee that holds another key, and by none that it has left', () => {
  const prized: KnownKey = { ...key, key: { ...key.key, keyName: 'ecies/prized', keyId: key.key.sharingId as never } }
  const both = { ...movedKeys, list: () => [movedKey, prized], history: () => [movedKey.key, key.key, prized.key] }
  const taking = { ...keygen, keyName: 'ecies/prized', like: 'ecies/1' }
  expect(() => makeSpec(contextOf({ keys: both }), taking)).toThrow(otherCommittee)
  const { spec } = makeSpec(contextOf(), keygen)
  const of = { cluster, self: participantIndex(2), nodes: cluster.nodes, keys: both, undecided: () => [], nowS: NOW_S }
  // The genesis committee, which clients would take: the members that the name was taken from would have it again.
  expect(() => checkSpec(of, spec, [])).toThrow(otherCommittee)
  expect(() => checkSpec(of, { ...spec, newConfig: smaller } as CeremonySpec, [])).not.toThrow()
  const taken = { ...spec, keyName: 'ecies/prized', newConfig: smaller } as CeremonySpec
  expect(() => checkSpec(of, taken, [])).toThrow(otherCommittee)
  expect(() => checkSpec(of, { ...taken, keyName: 'ecies/new' } as CeremonySpec, [])).not.toThrow()
})

test('a new name that another committee may still make a generation of is made by that one only', () => {
  const named = { ...keygen, keyName: 'ecies/new', generation: undefined }
  const context = contextOf({ keys: movedKeys })
  const first = makeSpec(context, named).spec
  const open = { ...context, specs: () => [first], undecided: () => [first] }
  expect(makeSpec(open, named).spec).toMatchObject({ generation: 2, newConfig: { n: 4 } })
  expect(() => makeSpec(open, { ...named, like: 'ecies/1' })).toThrow(otherCommittee)
  const rival = { ...first, generation: 3, newConfig: smaller } as CeremonySpec
  expect(() => checkSpec(open, rival, [])).toThrow(otherCommittee)
  expect(() => checkSpec({ ...open, undecided: () => [rival] }, first, [])).toThrow(otherCommittee)
  expect(() => checkSpec({ ...context, self: participantIndex(2) }, rival, [])).not.toThrow()
})

test('a destroyed key keeps its name, its number and its committee', () => {
  const gone: CeremonyKeys = { ...keys, list: () => [], history: () => [movedKey.key, key.key] }
  const context = contextOf({ keys: gone })
  const { generation: _one, ...unnumbered } = keygen
  expect(() => makeSpec(context, unnumbered)).toThrow(expect.objectContaining({ code: 'key-exists' }))
  expect(makeSpec(context, { ...unnumbered, rotate: true }).spec).toMatchObject({ generation: 2, newConfig: { n: 3 } })
  expect(() => makeSpec(context, { kind: 'reshare', keyName: 'ecies/1', generation: 1 })).toThrow(
    expect.objectContaining({ code: 'unknown-key', message: 'ecies/1 generation 1 was destroyed' }),
  )
  const of = { cluster, self: participantIndex(2), nodes: cluster.nodes, keys: gone, undecided: () => [], nowS: NOW_S }
  expect(() => checkSpec(of, makeSpec(contextOf(), keygen).spec, [])).toThrow(otherCommittee)
})

test('an import goes to the committee that holds its name or the one named, and its importer is in it', () => {
  const two = contextOf({ keys: movedKeys, self: participantIndex(2) })
  const input = { kind: 'import', keyName: 'ecies/old', purpose: 'ecies-dec' } as const
  const imported = (change: object, context = two): CeremonySpec =>
    makeSpec(context, { ...input, key: seedOf(7), ...change }).spec
  expect(imported({}).newConfig).toEqual(cluster.config)
  expect(imported({ like: 'ecies/1' })).toMatchObject({ newConfig: smaller, oldConfig: { members: [{ index: 2 }] } })
  expect(imported({ keyName: 'ecies/1', generation: 2 }).newConfig).toEqual(smaller)
  expect(() => imported({ like: 'ecies/none' })).toThrow(expect.objectContaining({ code: 'unknown-key' }))
  const outside = contextOf({ keys: movedKeys })
  expect(() => imported({ like: 'ecies/1' }, outside)).toThrow(expect.objectContaining({ code: 'not-a-member' }))
})

test('too few members for the threshold say how many more or which threshold it takes', () => {
  const impossible = (threshold: number): unknown => {
    try {
      return makeSpec(contextOf(), { kind: 'reshare', keyName: 'ecies/1', threshold })
    } catch (cause) {
      return cause
    }
  }
  expect(impossible(6)).toMatchObject({
    code: 'bad-config',
    message: expect.stringMatching(
      /4 members with t = 6 are impossible: .* Add 3 more \(--add\), .* --threshold 3/,
    ) as unknown,
  })
})
