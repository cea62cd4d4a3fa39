import { once } from 'node:events'
import type { Stream } from '@libp2p/interface'
import { tkms } from '@tkms/proto'
import { decode, encode } from 'it-length-prefixed'
import { afterEach, expect, test } from 'vitest'
import { createDelegateServer, DELEGATE_PROTOCOL } from './delegate-protocol.ts'
import { startStranger, startTestHost, TEST_LIMITS } from './test-hosts.fixture.ts'

const started: { stop(): Promise<void> | void }[] = []
afterEach(async () => {
  for (const item of started.splice(0).toReversed()) await item.stop()
})

const WINDOW = 4
const REQUEST_BYTES = 50_000
const REQUESTS = 400
/** What waits in the streams' own windows and buffers on both sides. */
const IN_BUFFERS_BYTES = 2 * 1024 * 1024
/** Answers of a stream beside it after which a stream that is silent is held back, and not slow. */
const EXCHANGES = 50

const frame = (correlationId: number, bytes: number): Uint8Array => {
  const request = { payload: new Uint8Array(bytes).fill(1), signature: new Uint8Array(64), publicKeyId: 'none' }
  return encode.single(tkms.v1.DelegateCall.encode({ correlationId, request }).finish()).subarray()
}

test('a client is held back at the window of its stream, other streams of its connection are not, and all of it is answered in the end', async () => {
  const open = Promise.withResolvers<void>()
  let largest = 0
  let underWay = 0
  const { host } = await startTestHost(1, [])
  started.push(host)
  const server = createDelegateServer({
    host,
    handler: {
      handle: async ({ payload }) => {
        if (payload.length < REQUEST_BYTES) return { kind: 'refusal', code: 'not-allowed' }
        largest = Math.max(largest, ++underWay)
        await open.promise
        underWay--
        return { kind: 'refusal', code: 'busy' }
      },
    },
    limits: { ...TEST_LIMITS, delegateWindow: WINDOW, frameTimeoutMs: 30_000 },
    admit: () => true,
    onStreamError: () => {},
  })
  await server.start()
  const stranger = await startStranger()
  started.push(stranger)
  const dial = (): Promise<Stream> => stranger.dialProtocol(host.getMultiaddrs(), DELEGATE_PROTOCOL)
  const [held, beside] = [await dial(), await dial()]

  let sent = 0
  const send = async (): Promise<void> => {
    for (; sent < REQUESTS; sent++) {
      while (held.writableNeedsDrain) await once(held as unknown as EventTarget, 'drain')
      held.send(frame(sent + 1, REQUEST_BYTES))
    }
  }
  const sending = send()
  const answers = decode(beside)[Symbol.asyncIterator]()
  for (let n = 1, before = -1; n <= EXCHANGES || sent !== before; n++) {
    before = sent
    beside.send(frame(n, 1))
    await answers.next()
  }
  expect(largest).toBe(WINDOW)
  expect(sent * REQUEST_BYTES).toBeLessThan(WINDOW * REQUEST_BYTES + IN_BUFFERS_BYTES)

  open.resolve()
  let answered = 0
  for await (const reply of decode(held)) {
    expect(tkms.v1.DelegateReply.decode(reply.subarray()).refusal?.status).toBe(tkms.v1.Status.STATUS_BUSY)
    if (++answered === REQUESTS) break
  }
  await sending
  expect([answered, largest]).toEqual([REQUESTS, WINDOW])
})
