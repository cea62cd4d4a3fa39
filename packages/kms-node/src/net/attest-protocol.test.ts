import type { Libp2p, Stream } from '@libp2p/interface'
import { encode } from 'it-length-prefixed'
import { tkms } from '@tkms/proto'
import { afterEach, expect, test, vi } from 'vitest'
import {
  type AttestReply,
  decodeAttestReply,
  decodeAttestRequest,
  decodeAttestVerdict,
  encodeAttestReply,
  encodeAttestRequest,
  encodeAttestVerdict,
  MAX_ATTEST_FRAME_BYTES,
} from './attest-frame.ts'
import { MAX_QUOTE_BYTES } from '../attest/quote-bytes.ts'
import { ATTEST_PROTOCOL, type AttestProtocol, type ChannelChallenge, createAttestProtocol } from './attest-protocol.ts'
import { channelBindingOf } from './channel-binding.ts'
import { startStranger, startTestHost, TEST_LIMITS, type TestHost } from './test-hosts.fixture.ts'

const started: { stop(): Promise<void> | void }[] = []
afterEach(async () => {
  for (const item of started.splice(0).toReversed()) await item.stop()
})

const nonce = new Uint8Array(32).fill(3)
const reply: AttestReply = { quote: new Uint8Array(5000).fill(4), certificatesHash: new Uint8Array(32).fill(5) }
const addressesOf = (host: Libp2p): string[] => host.getMultiaddrs().map(String)

interface Attesting extends TestHost {
  readonly attest: AttestProtocol
  readonly asked: ChannelChallenge[]
  readonly verdicts: string[]
  readonly unanswered: number[]
}

async function start(
  index: number,
  addresses: readonly (readonly string[])[] = [],
  prove: () => Promise<AttestReply> = () => Promise.resolve(reply),
): Promise<Attesting> {
  const member = await startTestHost(index, addresses, TEST_LIMITS, 4)
  const asked: ChannelChallenge[] = []
  const verdicts: string[] = []
  const unanswered: number[] = []
  const attest = createAttestProtocol({
    ...member,
    limits: TEST_LIMITS,
    prove: (challenge) => {
      asked.push(challenge)
      return prove()
    },
    onVerdict: (peer, status) => verdicts.push(`${peer}: ${status}`),
    onUnanswered: (peer) => unanswered.push(peer),
  })
  await attest.start()
  started.push(member.host, attest)
  return { ...member, attest, asked, verdicts, unanswered }
}

const closed = (stream: Stream): Promise<void> =>
  stream.status === 'open'
    ? new Promise((resolve) => stream.addEventListener('close', () => resolve(), { once: true }))
    : Promise.resolve()

test('a challenge carries the nonce, the reply the quote, and the verdict comes back as a number', async () => {
  const first = await start(1)
  const second = await start(2, [addressesOf(first.host)])
  const connection = await second.host.dial(first.host.getMultiaddrs())
  const judged: unknown[] = []
  const verdict = await second.attest.challenge(connection, nonce, (given, challenge) => {
    judged.push(given, challenge)
    return Promise.resolve({ status: 5 })
  })
  const challenge = { nonce, binding: channelBindingOf(connection) }
  expect(verdict).toEqual({ status: 5 })
  expect(judged).toEqual([reply, challenge])
  expect(first.asked).toEqual([challenge])
  await vi.waitFor(() => expect(first.verdicts).toEqual(['2: 5']))
})

test('a stranger is not answered', async () => {
  const first = await start(1)
  const stranger = await startStranger()
  started.push(stranger)
  const stream = await stranger.dialProtocol(first.host.getMultiaddrs(), ATTEST_PROTOCOL)
  await closed(stream)
  expect(stream.status).toBe('reset')
  expect(first.asked).toEqual([])
})

test.for([
  ['no frame', Uint8Array.of(3, 0xff, 0xff, 0xff)],
  ['a nonce of 31 bytes', encode.single(encodeAttestRequest(nonce.slice(1))).subarray()],
  ['a frame above the cap', Uint8Array.of(0xff, 0xff, 0xff, 0x7f)],
  ['an endless length', new Uint8Array(16).fill(0xff)],
] as const)('%s is not answered', async ([, bytes]) => {
  const first = await start(1)
  const second = await start(2, [addressesOf(first.host)])
  const stream = await second.host.dialProtocol(first.host.getMultiaddrs(), ATTEST_PROTOCOL)
  stream.send(bytes)
  await closed(stream)
  expect(first.unanswered).toEqual([2])
  expect(first.asked).toEqual([])
})

test('a quote that is not to be had is said to the log, and the challenger hears an end', async () => {
  const first = await start(1, [], () => Promise.reject(new Error('no device')))
  const second = await start(2, [addressesOf(first.host)])
  const connection = await second.host.dial(first.host.getMultiaddrs())
  const judge = (): Promise<{ status: number }> => Promise.resolve({ status: 0 })
  await expect(second.attest.challenge(connection, nonce, judge)).rejects.toMatchObject({ code: 'stream-closed' })
  expect(first.unanswered).toEqual([2])
})

test('peers who ask and say nothing, or ask for many proofs at once, do not keep others from theirs', async () => {
  const { promise: held, resolve: letGo } = Promise.withResolvers<AttestReply>()
  let hold = true
  const first = await start(1, [], () => (hold ? held : Promise.resolve(reply)))
  const [second, third, fourth] = await Promise.all([2, 3, 4].map((index) => start(index)))
  const judge = (): Promise<{ status: number }> => Promise.resolve({ status: 0 })
  for (const silent of [second, third])
    for (let n = 0; n < 8; n++) await silent?.host.dialProtocol(first.host.getMultiaddrs(), ATTEST_PROTOCOL)
  const connection = await fourth?.host.dial(first.host.getMultiaddrs())
  if (connection === undefined) throw new Error('there are four hosts')
  const many = Promise.allSettled([1, 2, 3].map(() => fourth?.attest.challenge(connection, nonce, judge)))
  await vi.waitFor(() => expect(first.asked).toHaveLength(2))
  await vi.waitFor(() => expect(first.unanswered).toEqual([4]))
  hold = false
  letGo(reply)
  expect((await many).map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'fulfilled', 'rejected'])
  expect(await fourth?.attest.challenge(connection, nonce, judge)).toEqual({ status: 0 })
})

test('a connection without a known handshake is not asked', async () => {
  const first = await start(1)
  const stranger = await startStranger()
  started.push(stranger)
  const connection = await stranger.dial(first.host.getMultiaddrs())
  const judge = (): Promise<{ status: number }> => Promise.resolve({ status: 0 })
  await expect(first.attest.challenge(connection, nonce, judge)).rejects.toMatchObject({ code: 'no-channel-binding' })
})

test('frames round-trip, and nothing else decodes', () => {
  expect(decodeAttestRequest(encodeAttestRequest(nonce))).toEqual(nonce)
  expect(decodeAttestReply(encodeAttestReply(reply))).toEqual(reply)
  const none = { ...reply, quote: undefined }
  expect(decodeAttestReply(encodeAttestReply(none))).toEqual(none)
  expect([0, 11, 255].map((status) => decodeAttestVerdict(encodeAttestVerdict(status)))).toEqual([0, 11, 255])
  const largest = { ...reply, quote: new Uint8Array(MAX_QUOTE_BYTES) }
  expect(encodeAttestReply(largest).length).toBeLessThanOrEqual(MAX_ATTEST_FRAME_BYTES)
  const bad = expect.objectContaining({ code: 'bad-frame' }) as Error
  expect(() => decodeAttestVerdict(encodeAttestVerdict(256))).toThrow(bad)
  expect(() => decodeAttestReply(encodeAttestReply({ ...reply, quote: new Uint8Array(MAX_QUOTE_BYTES + 1) }))).toThrow(
    bad,
  )
  expect(() => decodeAttestReply(tkms.v1.AttestReply.encode({ quote: nonce }).finish())).toThrow(bad)
  expect(() => decodeAttestRequest(Uint8Array.of(0xff))).toThrow(bad)
})
