import { once } from 'node:events'
import type { Libp2p, Stream } from '@libp2p/interface'
import { type ParticipantIndex, participantIndex } from '@tkms/dkg'
import { encode } from 'it-length-prefixed'
import { afterEach, expect, test } from 'vitest'
import { type CeremonyFrame, encodeCeremonyFrame } from './ceremony-frame.ts'
import { CEREMONY_PROTOCOL } from './ceremony-protocol.ts'
import { maxFrameBytes } from './frame-caps.ts'
import { startStranger, startTestHost } from './test-hosts.fixture.ts'
import { type Member, startMember as startTestMember } from './test-members.fixture.ts'

const started: { stop(): Promise<void> | void }[] = []
afterEach(async () => {
  for (const item of started.splice(0).toReversed()) await item.stop()
})

const memberIndex = (index: number): ParticipantIndex => participantIndex(index)

async function startMember(index: number, addresses: readonly (readonly string[])[] = []): Promise<Member> {
  const member = await startTestMember(index, addresses)
  started.push(member)
  return member
}

const addressesOf = (host: Libp2p): string[] => host.getMultiaddrs().map(String)

const frame: CeremonyFrame = {
  type: 'message',
  ceremony: new Uint8Array(32).fill(1),
  signed: new Uint8Array(500).fill(2),
}

test('row 23: two members exchange frames, each known by the index of the key that Noise has proven', async () => {
  const first = await startMember(1)
  const second = await startMember(2, [addressesOf(first.host)])
  await second.until(() => second.network.connected.includes(first.self))
  expect(second.network.send(first.self, frame)).toBe(true)
  await first.until(() => first.received.length === 1)
  expect(first.received).toEqual([{ from: 2, frame }])
  await first.until(() => first.network.connected.includes(second.self))
  expect(first.network.send(second.self, { type: 'proposal', spec: Uint8Array.of(7), nodes: [] })).toBe(true)
  await second.until(() => second.received.length === 1)
  expect(second.received).toEqual([{ from: 1, frame: { type: 'proposal', spec: Uint8Array.of(7), nodes: [] } }])
})

test('frames for a member that is away are dropped, and it is found again when it comes back', async () => {
  const first = await startMember(1)
  expect(first.network.send(memberIndex(2), frame)).toBe(false)
  const second = await startMember(2, [addressesOf(first.host)])
  await first.until(() => first.network.connected.includes(second.self))
  await second.network.stop()
  await second.host.stop()
  await first.until(() => !first.network.connected.includes(second.self))
  const again = await startMember(2, [addressesOf(first.host)])
  await again.until(() => again.network.connected.includes(first.self))
  await first.until(() => first.network.connected.includes(second.self))
})

test('a peer outside the roster is cut off, and the members go on', async () => {
  const first = await startMember(1)
  const stranger = await startStranger()
  started.push(stranger)
  const stream = await stranger.dialProtocol(first.host.getMultiaddrs(), CEREMONY_PROTOCOL)
  await closed(stream)
  await first.until(() => first.refused.includes('not-in-roster'))
  expect(first.received).toEqual([])
  const second = await startMember(2, [addressesOf(first.host)])
  await second.until(() => second.network.connected.includes(first.self))
})

const lengthPrefix = (length: number): Uint8Array => {
  const bytes: number[] = []
  let rest = length
  while (rest >= 128) {
    bytes.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  return Uint8Array.from([...bytes, rest])
}

test.for([
  ['one byte above the cap', lengthPrefix(maxFrameBytes(3) + 1)],
  ['2^31', lengthPrefix(2 ** 31)],
  ['2^48', lengthPrefix(2 ** 48)],
  ['an endless varint', new Uint8Array(16).fill(0xff)],
  ['no ceremony frame', Uint8Array.from([3, 0xff, 0xff, 0xff])],
] as const)('a stream of a member that announces %s is reset', async ([, bytes]) => {
  const first = await startMember(1)
  const member = await startTestHost(2, [addressesOf(first.host)])
  started.push(member.host)
  const stream = await member.host.dialProtocol(first.host.getMultiaddrs(), CEREMONY_PROTOCOL)
  const end = closed(stream)
  stream.send(bytes)
  await end
  await first.until(() => first.refused.includes('bad-frame'))
  expect(first.received).toEqual([])
})

test('a frame that never gets complete is given up after the frame timeout', async () => {
  const first = await startMember(1)
  const member = await startTestHost(2, [addressesOf(first.host)])
  started.push(member.host)
  const stream = await member.host.dialProtocol(first.host.getMultiaddrs(), CEREMONY_PROTOCOL)
  const end = closed(stream)
  stream.send(lengthPrefix(1000))
  await end
  expect(stream.status).toBe('reset')
})

test('a newer stream of the same member takes the place of the older', async () => {
  const first = await startMember(1)
  const member = await startTestHost(2, [addressesOf(first.host)])
  started.push(member.host)
  const older = await member.host.dialProtocol(first.host.getMultiaddrs(), CEREMONY_PROTOCOL)
  const end = closed(older)
  const newer = await member.host.dialProtocol(first.host.getMultiaddrs(), CEREMONY_PROTOCOL)
  await end
  for (const chunk of encode([encodeCeremonyFrame(frame)])) newer.send(chunk)
  await first.until(() => first.received.length === 1)
})

async function closed(stream: Stream): Promise<void> {
  if (stream.status === 'open') await once(stream as unknown as EventTarget, 'close')
}
