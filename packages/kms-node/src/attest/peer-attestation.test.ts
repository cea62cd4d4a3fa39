import type { Libp2p, Stream } from '@libp2p/interface'
import { encode } from 'it-length-prefixed'
import { afterEach, expect, test, vi } from 'vitest'
import { type CeremonyFrame, encodeCeremonyFrame } from '../net/ceremony-frame.ts'
import { CEREMONY_PROTOCOL } from '../net/ceremony-protocol.ts'
import { createAttestProtocol } from '../net/attest-protocol.ts'
import { startTestHost, TEST_LIMITS } from '../net/test-hosts.fixture.ts'
import type { Attester, RecordStore } from '../ports.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import {
  type AttestedMember,
  type AttestedOptions,
  attesterOf,
  GOOD_CODE,
  goodAttester,
  machineQuote,
  OTHER_CODE,
  startAttested,
  testTime,
} from './attested-members.fixture.ts'

const started: { stop(): Promise<void> | void }[] = []
afterEach(async () => {
  for (const item of started.splice(0).toReversed()) await item.stop()
})

async function start(index: number, options?: AttestedOptions): Promise<AttestedMember> {
  const member = await startAttested(index, options)
  started.push(member)
  return member
}

const addressesOf = ({ host }: { readonly host: Libp2p }): string[] => host.getMultiaddrs().map(String)
const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 10_000, interval: 10 })
const frame: CeremonyFrame = {
  type: 'message',
  ceremony: new Uint8Array(32).fill(1),
  signed: new Uint8Array(500).fill(2),
}
/** Sends a frame, where the other side has not cut the stream already. */
function offer(stream: Stream): void {
  if (stream.status === 'open') for (const chunk of encode([encodeCeremonyFrame(frame)])) stream.send(chunk)
}
const closed = (stream: Stream): Promise<void> =>
  stream.status === 'open'
    ? new Promise((resolve) => stream.addEventListener('close', () => resolve(), { once: true }))
    : Promise.resolve()
const stateOf = (member: AttestedMember, peer: string): unknown =>
  member.gate.states().find((state) => state.peer === peer)

test('two members prove themselves to each other, then frames go both ways', async () => {
  const first = await start(1)
  const second = await start(2, { addresses: [addressesOf(first)] })
  await second.until(() => second.network.connected.includes(first.self))
  await first.until(() => first.network.connected.includes(second.self))
  expect([first.judged, second.judged]).toEqual([['2: yes'], ['1: yes']])
  expect(second.network.send(first.self, frame)).toBe(true)
  await first.until(() => first.received.length === 1)
  await eventually(() => expect([first.told, second.told]).toEqual([['2: yes'], ['1: yes']]))
  expect(stateOf(first, 'node-2')).toEqual({
    peer: 'node-2',
    state: 'proven',
    measurement: 'v1',
    tcbStatus: 'UpToDate',
    certificates: 'same',
    expiresMs: testTime().papersUntilMs,
  })
})

test('a member with other certificates says so and is taken: the ceremonies bring both to the same', async () => {
  const first = await start(1)
  const second = await start(2, { addresses: [addressesOf(first)], certificates: 1 })
  await second.until(() => second.network.connected.includes(first.self))
  await first.until(() => first.network.connected.includes(second.self))
  expect([first.judged, second.judged]).toEqual([['2: yes, other'], ['1: yes, other']])
  expect(stateOf(first, 'node-2')).toMatchObject({ state: 'proven', certificates: 'other' })
  expect(second.network.send(first.self, frame)).toBe(true)
})

const otherCode = attesterOf((data) => Promise.resolve(machineQuote(OTHER_CODE, data)))
const otherData = attesterOf(() => Promise.resolve(machineQuote(GOOD_CODE, new Uint8Array(64).fill(9))))
const forged = attesterOf((data) => Promise.resolve(machineQuote(GOOD_CODE, data).fill(0, -1)))
const none: Attester = { provider: 'none', quote: () => Promise.resolve(undefined) }

test.for([
  ['another measurement', otherCode, 'measurement'],
  ['other report data', otherData, 'report-data'],
  ['a forged signature', forged, 'signature'],
  ['no quote', none, 'missing'],
] as const)('a member with %s is kept out, both sides know why, and the others go on', async ([, attester, reason]) => {
  const first = await start(1)
  const third = await start(3, { addresses: [addressesOf(first)] })
  const bad = await start(2, { addresses: [addressesOf(first), [], addressesOf(third)], attester })
  await eventually(() => {
    expect(first.judged).toContain(`2: ${reason}`)
    expect(bad.told).toContain(`1: ${reason}`)
    expect(third.judged).toContain(`2: ${reason}`)
  })
  const stream = await bad.host.dialProtocol(first.host.getMultiaddrs(), CEREMONY_PROTOCOL)
  offer(stream)
  await closed(stream)
  await eventually(() => expect(first.refused).toContain('not-attested'))
  expect(first.network.send(bad.self, frame)).toBe(false)
  expect(first.received).toEqual([])
  expect(stateOf(first, 'node-2')).toEqual({ peer: 'node-2', state: 'refused', reason })
  await third.until(() => third.network.connected.includes(first.self))
  expect(third.network.send(first.self, frame)).toBe(true)
  await first.until(() => first.received.length === 1)
  expect(first.received.map(({ from }) => from)).toEqual([3])
})

test('what was verified on one connection is worth nothing on another: a quote from there is known as replayed', async () => {
  const first = await start(1)
  let quote: Uint8Array | undefined
  const attester = attesterOf(async (data, signal) => (quote ??= await goodAttester.quote(data, signal)))
  const peer = await start(2, { attester, addresses: [] })
  const verified = await peer.host.dial(first.host.getMultiaddrs())
  await eventually(() => expect(first.judged).toEqual(['2: yes']))
  const other = await peer.host.dial(first.host.getMultiaddrs(), { force: true })
  await eventually(() => expect(first.judged).toEqual(['2: yes', '2: replayed']))
  await eventually(() => expect(peer.told).toEqual(['1: yes', '1: replayed']))
  const used = await other.newStream(CEREMONY_PROTOCOL)
  offer(used)
  await closed(used)
  expect(first.received).toEqual([])
  const good = await verified.newStream(CEREMONY_PROTOCOL)
  offer(good)
  await first.until(() => first.received.length === 1)
})

test('nobody can pass a challenge on to a machine that would prove itself: its quote is for the connection it ends', async () => {
  const honest = await start(1)
  const machine = await start(2)
  const thief = await startTestHost(3, [addressesOf(honest), addressesOf(machine)])
  started.push(thief.host)
  const toMachine = await thief.host.dial(machine.host.getMultiaddrs())
  const relay = await start(2, {
    prove: async ({ nonce }) => {
      const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>()
      const asker = createAttestProtocol({
        ...thief,
        limits: TEST_LIMITS,
        prove: () => Promise.reject(new Error('the thief proves nothing')),
        onVerdict: () => {},
        onUnanswered: () => {},
      })
      await asker.challenge(toMachine, nonce, ({ quote }) => {
        resolve(quote)
        return Promise.resolve({ status: 0 })
      })
      return { quote: await promise, certificatesHash: new Uint8Array(32) }
    },
  })
  await relay.host.dial(honest.host.getMultiaddrs())
  await eventually(() => expect(honest.judged).toEqual(['2: report-data']))
})

test('a proof is renewed before it ends; the papers that ran out take nobody below t + f', async () => {
  const time = testTime()
  const first = await start(1, { time })
  const second = await start(2, { time, addresses: [addressesOf(first)] })
  await second.until(() => second.network.connected.includes(first.self))
  await first.until(() => first.network.connected.includes(second.self))
  await first.gate.renew()
  expect(first.judged).toEqual(['2: yes'])
  time.nowMs += 13 * 3_600_000
  await first.gate.renew()
  expect(first.judged).toEqual(['2: yes', '2: yes'])
  time.papersUntilMs = time.nowMs + 86_400_000
  time.nowMs += 13 * 3_600_000
  await first.gate.renew()
  expect(first.judged.slice(2)).toEqual(['2: yes', '2 expiring'])
  time.nowMs = time.papersUntilMs + 1
  await first.gate.renew()
  expect(first.judged.slice(4)).toEqual(['2: expired', '2 kept'])
  expect(stateOf(first, 'node-2')).toMatchObject({ state: 'expired', kept: true })
  await second.gate.renew()
  expect(second.network.send(first.self, frame)).toBe(true)
  await first.until(() => first.received.length === 1)
  const again = await second.host.dial(first.host.getMultiaddrs(), { force: true })
  await eventually(() => expect(first.judged.slice(6)).toEqual(['2: expired']))
  const stream = await again.newStream(CEREMONY_PROTOCOL)
  offer(stream)
  await first.until(() => first.received.length === 2)
})

test('a restart while the papers are old loses nobody whom the floor keeps, and gains nobody else', async () => {
  const time = testTime()
  const store = memoryStore()
  const before = await startAttested(1, { time, store })
  let quote = goodAttester.quote
  const peer = await start(2, { attester: attesterOf((...given) => quote(...given)), addresses: [addressesOf(before)] })
  await peer.until(() => peer.network.connected.includes(before.self))
  await eventually(() => expect(before.judged).toEqual(['2: yes']))
  await before.stop()
  time.nowMs = time.papersUntilMs + 1

  const restarted = async (given: RecordStore): Promise<AttestedMember> => {
    const member = await start(1, { time, store: given })
    await peer.host.dial(member.host.getMultiaddrs(), { force: true })
    await eventually(() => expect(member.judged).toHaveLength(1))
    return member
  }
  const admits = ({ gate, host }: AttestedMember): boolean =>
    gate.isAdmitted(host.getConnections()[0] ?? expect.unreachable())
  const after = await restarted(store)
  expect([after.judged, stateOf(after, 'node-2'), admits(after)]).toEqual([
    ['2: expired'],
    { peer: 'node-2', state: 'expired', kept: true },
    true,
  ])
  await after.stop()
  const empty = await restarted(memoryStore())
  expect([empty.judged, admits(empty)]).toEqual([['2: expired'], false])
  await empty.stop()
  quote = otherCode.quote
  const refusing = await restarted(store)
  expect([refusing.judged, admits(refusing)]).toEqual([['2: measurement'], false])
  await refusing.stop()
  quote = goodAttester.quote
  const forgetful = await restarted(store)
  expect([forgetful.judged, admits(forgetful)]).toEqual([['2: expired'], false])
})

test('papers that ran out cut a peer off where the operator says so, or where t + f are left', async () => {
  const time = testTime()
  const first = await start(1, { time, keepFloor: false })
  const second = await start(2, { addresses: [addressesOf(first)] })
  await second.until(() => second.network.connected.includes(first.self))
  await first.until(() => first.network.connected.includes(second.self))
  time.nowMs = time.papersUntilMs + 1
  await first.gate.renew()
  await second.until(() => !second.network.connected.includes(first.self))
  await first.until(() => !first.network.connected.includes(second.self))
  expect(first.network.send(second.self, frame)).toBe(false)
  expect(first.judged).toContain('2: expired')
})

test('a renewal that is refused ends a connection that is used; one that is not is asked again', async () => {
  const time = testTime()
  let good = true
  const attester = attesterOf(async (data, signal) =>
    good ? goodAttester.quote(data, signal) : machineQuote(OTHER_CODE, data),
  )
  const first = await start(1, { time })
  const peer = await start(2, { attester, addresses: [] })
  await peer.host.dial(first.host.getMultiaddrs())
  await eventually(() => expect(first.judged).toEqual(['2: yes']))
  const [used = expect.unreachable()] = first.host.getConnections()
  expect(first.gate.isAdmitted(used)).toBe(true)
  good = false
  time.nowMs += 13 * 3_600_000
  await first.gate.renew()
  expect(first.judged.slice(1)).toEqual(['2: measurement'])
  await eventually(() => expect(used.status).not.toBe('open'))

  await peer.host.dial(first.host.getMultiaddrs(), { force: true })
  await eventually(() => expect(first.judged.slice(2)).toEqual(['2: measurement']))
  good = true
  await first.gate.renew()
  expect(first.judged).toHaveLength(3)
  time.nowMs += 11_000
  await first.gate.renew()
  expect(first.judged.slice(3)).toEqual(['2: yes'])
})

test('a proof that is not renewed within a day ends', async () => {
  const time = testTime()
  const first = await start(1, { time })
  const second = await start(2, { addresses: [addressesOf(first)] })
  await second.until(() => second.network.connected.includes(first.self))
  await first.until(() => first.network.connected.includes(second.self))
  await second.protocol.stop()
  time.nowMs += 13 * 3_600_000
  await first.gate.renew()
  expect(first.judged).toEqual(['2: yes', '2: missing'])
  expect(first.gate.isAdmitted(first.host.getConnections()[0] ?? expect.unreachable())).toBe(true)
  time.nowMs += 12 * 3_600_000
  await first.gate.renew()
  await first.until(() => !first.network.connected.includes(second.self))
  expect(first.network.send(second.self, frame)).toBe(false)
})
