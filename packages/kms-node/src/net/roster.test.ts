import { type ClusterNode, participantIndex } from '@tkms/dkg'
import { expect, test } from 'vitest'
import { createRoster, type RosterChange, type RosterEntry } from './roster.ts'
import { testCluster } from './test-hosts.fixture.ts'

const { nodes } = testCluster(5, [])
const [one, two, three, four, five] = nodes as unknown as [
  ClusterNode,
  ClusterNode,
  ClusterNode,
  ClusterNode,
  ClusterNode,
]
const self = participantIndex(1)
const member = (node: ClusterNode): RosterEntry => ({ node, role: 'member' })
const former = (node: ClusterNode): RosterEntry => ({ node, role: 'former' })
const indices = (change: RosterChange): object => ({
  removed: change.removed.map(({ index }) => index),
  added: change.added.map(({ index }) => index),
  updated: change.updated.map(({ index }) => index),
})

test('a change says who left, who came, and who has new addresses', () => {
  const roster = createRoster([one, two, three, four], self)
  const seen: object[] = []
  roster.onChange((change) => seen.push(indices(change)))
  const moved = { ...two, multiaddrs: ['/ip4/10.0.0.2/tcp/7001'] }
  roster.set([one, moved, four, five].map(member))
  expect(seen).toEqual([{ removed: [3], added: [5], updated: [2] }])
  expect(roster.peers.map(({ index }) => index)).toEqual([2, 4, 5])
  expect(roster.byIndex(2)?.addresses.map(String)[0]).toMatch(/^\/ip4\/10\.0\.0\.2\/tcp\/7001\/p2p\//)
  expect(roster.byIndex(3)).toBeUndefined()
})

test('the same entries again change nothing', () => {
  const roster = createRoster([one, two, three], self)
  expect(indices(roster.set([three, two].map(member)))).toEqual({ removed: [], added: [], updated: [] })
})

test('another role or another identity at an index is another peer', () => {
  const roster = createRoster([one, two, three], self)
  const [before] = roster.peers
  expect(indices(roster.set([former(two), member(three)]))).toEqual({ removed: [2], added: [2], updated: [] })
  if (before !== undefined) expect(roster.isMember(before.peerId)).toBe(false)
  const replaced = { ...three, publicKey: five.publicKey }
  expect(indices(roster.set([former(two), member(replaced)]))).toEqual({ removed: [3], added: [3], updated: [] })
})

test.for<readonly [string, readonly RosterEntry[], string]>([
  ['one index twice', [two, { ...three, index: two.index }].map(member), 'roster-conflict'],
  ['one identity twice', [two, { ...three, publicKey: two.publicKey }].map(member), 'roster-conflict'],
  ['an address that does not parse', [{ ...two, multiaddrs: ['/ip4/300.0.0.1/tcp/1'] }].map(member), 'bad-multiaddr'],
])('%s is refused, and the roster stays as it was', ([, entries, code]) => {
  const roster = createRoster([one, two, three], self)
  const seen: RosterChange[] = []
  roster.onChange((change) => seen.push(change))
  expect(() => roster.set(entries)).toThrow(expect.objectContaining({ code }))
  expect({ peers: roster.peers.map(({ index }) => index), seen }).toEqual({ peers: [2, 3], seen: [] })
})
