import { Socket } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { startStranger, startTestHost } from './test-hosts.fixture.ts'

const started: { stop(): Promise<void> | void }[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  for (const item of started.splice(0).toReversed()) await item.stop()
})

/** Encrypted: two bytes of length before it. */
const holdsWholeMessages = (bytes: Uint8Array): boolean => {
  let at = 0
  while (at + 2 <= bytes.length) at += 2 + new DataView(bytes.buffer, bytes.byteOffset).getUint16(at)
  return at === bytes.length
}

/** What comes first is not encrypted: that both sides speak Noise, a line and the byte of its length at a time. */
const isNegotiation = (bytes: Uint8Array): boolean =>
  bytes.length === 1 || /^\/(?:multistream|noise)/.test(Buffer.from(bytes).toString('latin1'))

test('a node writes whole Noise messages, whoever reads them', async () => {
  const write = vi.spyOn(Socket.prototype, 'write')
  const { host } = await startTestHost(1, [])
  started.push(host)
  const replied = new Uint8Array(5_000).fill(7)
  await host.handle('/test/1', (stream) => {
    stream.addEventListener('message', () => {
      stream.send(replied.slice(0, 400))
      stream.send(replied.slice(400))
    })
  })
  const stranger = await startStranger()
  started.push(stranger)
  const stream = await stranger.dialProtocol(host.getMultiaddrs(), '/test/1')
  stream.send(Uint8Array.of(1))
  const heard: number[] = []
  for await (const chunk of stream) {
    heard.push(...chunk.subarray())
    if (heard.length >= replied.length) break
  }
  expect(Uint8Array.from(heard)).toEqual(replied)
  const port = Number(host.getMultiaddrs()[0]?.toString().split('/')[4])
  const written = write.mock.calls.flatMap(([bytes], at) =>
    (write.mock.contexts[at] as Socket).localPort === port && bytes instanceof Uint8Array ? [bytes] : [],
  )
  const encrypted = written.filter((bytes) => !isNegotiation(bytes))
  expect(encrypted.length).toBeGreaterThan(3)
  expect(encrypted.filter((bytes) => !holdsWholeMessages(bytes)).map(({ length }) => length)).toEqual([])
})
