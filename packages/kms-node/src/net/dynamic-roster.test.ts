import type { Libp2p } from '@libp2p/interface'
import type { ClusterNode } from '@tkms/dkg'
import { afterEach, expect, test } from 'vitest'
import type { CeremonyFrame } from './ceremony-frame.ts'
import { maxFrameBytes } from './frame-caps.ts'
import type { RosterEntry } from './roster.ts'
import { testCluster } from './test-hosts.fixture.ts'
import { type Member, startMember } from './test-members.fixture.ts'

const started: Member[] = []
afterEach(async () => {
  for (const member of started.splice(0).toReversed()) await member.stop()
})

async function start(...args: Parameters<typeof startMember>): Promise<Member> {
  const member = await startMember(...args)
  started.push(member)
  return member
}

const addressesOf = (host: Libp2p): string[] => host.getMultiaddrs().map(String)

/** Entry `index` of the address book, at these addresses. */
function nodeAt(index: number, host: Libp2p | undefined): ClusterNode {
  const node = testCluster(5, []).nodes[index - 1]
  if (node === undefined) throw new Error(`no node ${index}`)
  return host === undefined ? node : { ...node, multiaddrs: addressesOf(host) }
}

const connect = async (from: Member, to: Member): Promise<void> => {
  await from.until(() => from.network.connected.includes(to.self))
  await to.until(() => to.network.connected.includes(from.self))
}

/** Sends again whenever a connection came or went, as ceremonies do, until it has arrived. */
async function deliver(from: Member, to: Member, frame: CeremonyFrame): Promise<void> {
  void from.until(() => {
    from.network.send(to.self, frame)
    return to.received.length > 0
  })
  await to.until(() => to.received.length > 0)
}

const ceremony = new Uint8Array(32).fill(1)
const message: CeremonyFrame = { type: 'message', ceremony, signed: new Uint8Array(500).fill(2) }
const heads: CeremonyFrame = { type: 'keyHeads', heads: [], reply: true }

test('a node that joins later is heard as soon as it is added, and hears', async () => {
  const first = await start(1)
  const joiner = await start(4, [addressesOf(first.host)], 4)
  await first.until(() => first.refused.includes('not-in-roster'))
  expect(joiner.network.send(first.self, message)).toBeDefined()
  expect(first.received).toEqual([])
  first.network.addPeers([nodeAt(4, joiner.host)])
  await connect(first, joiner)
  expect(first.network.send(joiner.self, message)).toBe(true)
  await joiner.until(() => joiner.received.length === 1)
  await deliver(joiner, first, message)
  expect(first.received[0]).toEqual({ from: 4, frame: message })
})

test('row 30: frames of a removed member are dropped, and its connection is cut', async () => {
  const first = await start(1)
  const second = await start(2, [addressesOf(first.host)])
  await connect(second, first)
  second.network.send(first.self, message)
  await first.until(() => first.received.length === 1)
  first.network.setPeers([{ node: nodeAt(3, undefined), role: 'member' }])
  await second.until(() => !second.network.connected.includes(first.self))
  // It knows nothing of it, dials again, and is refused again and again.
  await first.until(() => first.refused.filter((reason) => reason === 'not-in-roster').length > 1)
  second.network.send(first.self, message)
  expect(first.network.send(second.self, message)).toBe(false)
  expect(first.network.connected).toEqual([])
  expect(first.received).toHaveLength(1)
})

test('row 30: a former member may ask what became of its keys, and say nothing in a ceremony', async () => {
  const first = await start(1)
  const second = await start(2, [addressesOf(first.host)])
  const entries: readonly RosterEntry[] = [{ node: nodeAt(2, second.host), role: 'former' }]
  first.network.setPeers(entries)
  await connect(second, first)
  second.network.send(first.self, message)
  await first.until(() => first.refused.includes('not-in-roster'))
  second.network.send(first.self, heads)
  await first.until(() => first.received.length === 1)
  expect(first.received).toEqual([{ from: 2, frame: heads }])
  expect(first.network.send(second.self, message)).toBe(false)
  first.network.broadcast(message)
  expect(first.network.send(second.self, heads)).toBe(true)
  await second.until(() => second.received.length === 1)
  expect(second.received).toEqual([{ from: 1, frame: heads }])
})

test('a former member is not dialled', async () => {
  const second = await start(2)
  const first = await start(1, [], 3)
  first.network.setPeers([{ node: nodeAt(2, second.host), role: 'former' }])
  const third = await start(3, [addressesOf(first.host), addressesOf(second.host)])
  await third.until(() => third.network.connected.length === 2)
  expect(first.host.getConnections().map(({ remotePeer }) => remotePeer.toString())).not.toContain(
    second.host.peerId.toString(),
  )
})

test('a peer with a new address is found there once the old one is dead', async () => {
  const before = await start(2)
  const first = await start(1)
  first.network.setPeers([{ node: nodeAt(2, before.host), role: 'member' }])
  await first.until(() => first.network.connected.includes(before.self))
  await before.stop()
  await first.until(() => !first.network.connected.includes(before.self))
  const after = await start(2)
  first.network.addPeers([nodeAt(2, after.host)])
  await first.until(() => first.network.connected.includes(after.self))
})

test('entries that contradict each other change nothing', async () => {
  const first = await start(1)
  const second = await start(2, [addressesOf(first.host)])
  await connect(second, first)
  const twice = { ...nodeAt(4, undefined), publicKey: nodeAt(2, undefined).publicKey }
  expect(() => first.network.addPeers([twice])).toThrow(expect.objectContaining({ code: 'roster-conflict' }))
  second.network.send(first.self, message)
  await first.until(() => first.received.length === 1)
})

test('the longest frame grows with the roster, on streams that are open already', async () => {
  const first = await start(1)
  const second = await start(2, [addressesOf(first.host)])
  await connect(second, first)
  const long: CeremonyFrame = { ...message, signed: new Uint8Array(maxFrameBytes(3)).fill(2) }
  first.network.addPeers(testCluster(40, [[], addressesOf(second.host)]).nodes)
  await deliver(second, first, long)
  expect(first.received[0]).toEqual({ from: 2, frame: long })
  const third = await start(3, [[], addressesOf(second.host)])
  await connect(third, second)
  third.network.send(second.self, long)
  await second.until(() => second.refused.includes('bad-frame'))
  expect(second.received).toEqual([])
})
