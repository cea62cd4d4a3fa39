import type { Libp2p } from '@libp2p/interface'
import { participantIndex } from '@tkms/dkg'
import { tkms } from '@tkms/proto'
import { afterEach, expect, test } from 'vitest'
import {
  type AliveProof,
  decodeAliveReply,
  decodeAliveRequest,
  encodeAliveReply,
  encodeAliveRequest,
  MAX_ALIVE_FRAME_BYTES,
} from './alive-frame.ts'
import { ALIVE_PROTOCOL, type AliveProtocol, createAliveProtocol } from './alive-protocol.ts'
import { startStranger, startTestHost, TEST_LIMITS, type TestHost } from './test-hosts.fixture.ts'

const started: { stop(): Promise<void> | void }[] = []
afterEach(async () => {
  for (const item of started.splice(0).toReversed()) await item.stop()
})

const nonce = new Uint8Array(32).fill(3)
const proofOf = (instance: number, signed: Uint8Array = nonce): AliveProof => ({
  instance: new Uint8Array(16).fill(instance),
  upMs: 1000 * instance,
  signature: Uint8Array.from({ length: 64 }, (_, at) => (signed[at % 32] ?? 0) ^ instance),
})
const addressesOf = (host: Libp2p): string[] => host.getMultiaddrs().map(String)
const signal = (): AbortSignal => AbortSignal.timeout(10_000)

interface Alive extends TestHost {
  readonly alive: AliveProtocol
}

/** Member `index`, whose process answers challenges as `instance`. */
async function start(index: number, instance: number, addresses: readonly (readonly string[])[] = []): Promise<Alive> {
  const member = await startTestHost(index, addresses)
  const { host, roster } = member
  const alive = createAliveProtocol({
    host,
    roster,
    limits: TEST_LIMITS,
    prove: (given) => proofOf(instance, given),
  })
  await alive.start()
  started.push(host, alive)
  return { ...member, alive }
}

test('row 32: a second process under one identity is found by a peer, and signs for itself', async () => {
  const peer = await start(1, 1)
  const running = await start(2, 7, [addressesOf(peer.host)])
  await running.host.dial(peer.host.getMultiaddrs())
  const copy = await start(2, 8, [addressesOf(peer.host)])
  expect(await copy.alive.ask(participantIndex(1), nonce, signal())).toEqual([proofOf(7)])
  expect(await running.alive.ask(participantIndex(1), nonce, signal())).toEqual([proofOf(8)])
})

test('who is alone hears of nobody, and of itself over a second connection', async () => {
  const peer = await start(1, 1)
  const running = await start(2, 7, [addressesOf(peer.host)])
  expect(await running.alive.ask(participantIndex(1), nonce, signal())).toEqual([])
  await running.host.dial(peer.host.getMultiaddrs(), { force: true })
  expect(await running.alive.ask(participantIndex(1), nonce, signal())).toEqual([proofOf(7)])
})

test('a connection whose end does not know the protocol counts for nobody', async () => {
  const peer = await start(1, 1)
  const mute = await startTestHost(2, [addressesOf(peer.host)])
  started.push(mute.host)
  await mute.host.dial(peer.host.getMultiaddrs())
  const copy = await start(2, 8, [addressesOf(peer.host)])
  expect(await copy.alive.ask(participantIndex(1), nonce, signal())).toEqual([])
})

test('a stranger is not answered, nor an unknown or absent peer asked', async () => {
  const peer = await start(1, 1)
  const stranger = await startStranger()
  started.push(stranger)
  const stream = await stranger.dialProtocol(peer.host.getMultiaddrs(), ALIVE_PROTOCOL)
  const ended = new Promise((resolve) => stream.addEventListener('close', resolve, { once: true }))
  if (stream.status === 'open') await ended
  expect(stream.status).toBe('reset')
  await expect(peer.alive.ask(participantIndex(9), nonce, signal())).rejects.toMatchObject({ code: 'not-in-roster' })
  await expect(peer.alive.ask(participantIndex(3), nonce, signal())).rejects.toBeInstanceOf(Error)
})

test('a peer that asks all the time is not answered all the time', async () => {
  const peer = await start(1, 1)
  const running = await start(2, 7, [addressesOf(peer.host)])
  const asked = Array.from({ length: 12 }, () =>
    running.alive.ask(participantIndex(1), nonce, signal()).then(
      () => 'answered',
      () => 'refused',
    ),
  )
  expect(await Promise.all(asked)).toContain('refused')
})

test('frames come back as they were, the longest within its cap', () => {
  for (const type of ['ask', 'challenge'] as const)
    expect(decodeAliveRequest(encodeAliveRequest({ type, nonce }))).toEqual({ type, nonce })
  const proofs = [1, 2, 3, 4].map((instance) => ({ ...proofOf(instance), upMs: Number.MAX_SAFE_INTEGER }))
  const reply = encodeAliveReply(proofs)
  expect(decodeAliveReply(reply)).toEqual(proofs)
  expect(reply.length).toBeLessThan(MAX_ALIVE_FRAME_BYTES)
})

const reply = (proof: tkms.v1.AliveProof.$Properties, count = 1): Uint8Array =>
  tkms.v1.AliveReply.encode({ proofs: Array.from({ length: count }, () => proof) }).finish()
const good = { instance: new Uint8Array(16), upMs: new Uint8Array(8), signature: new Uint8Array(64) }

test.for<readonly [string, () => unknown]>([
  ['a request without a body', () => decodeAliveRequest(new Uint8Array(0))],
  ['a short nonce', () => decodeAliveRequest(encodeAliveRequest({ type: 'ask', nonce: new Uint8Array(31) }))],
  ['bytes that are no protobuf', () => decodeAliveRequest(Uint8Array.of(0xff, 0xff))],
  ['five proofs', () => decodeAliveReply(reply(good, 5))],
  ['a short instance', () => decodeAliveReply(reply({ ...good, instance: new Uint8Array(15) }))],
  ['a short signature', () => decodeAliveReply(reply({ ...good, signature: new Uint8Array(63) }))],
  ['a time of 9 bytes', () => decodeAliveReply(reply({ ...good, upMs: new Uint8Array(9) }))],
  ['a time beyond 2^53', () => decodeAliveReply(reply({ ...good, upMs: new Uint8Array(8).fill(0xff) }))],
])('%s is no alive frame', ([, decode]) => {
  expect(decode).toThrow(expect.objectContaining({ code: 'bad-frame' }))
})
