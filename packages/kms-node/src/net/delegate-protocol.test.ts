import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Libp2p, Stream } from '@libp2p/interface'
import { tkms } from '@tkms/proto'
import { decode, encode } from 'it-length-prefixed'
import { afterEach, expect, test } from 'vitest'
import type { DelegationCall } from '../serve/pipeline.ts'
import type { DelegationHandler } from './answer-calls.ts'
import {
  createDelegateServer,
  DELEGATE_PROTOCOL,
  type DelegateServer,
  MAX_DELEGATE_FRAME_BYTES,
} from './delegate-protocol.ts'
import type { NetLimits } from './limits.ts'
import { startStranger, startTestHost, TEST_LIMITS } from './test-hosts.fixture.ts'

const started: { stop(): Promise<void> | void }[] = []
afterEach(async () => {
  for (const item of started.splice(0).toReversed()) await item.stop()
})

interface Service {
  readonly host: Libp2p
  readonly server: DelegateServer
}

async function startService(
  handler: DelegationHandler,
  limits: Partial<NetLimits> = {},
  options: { readonly admit?: (address: string, tokens: number) => boolean } = {},
): Promise<Service> {
  const all = { ...TEST_LIMITS, ...limits }
  const { host } = await startTestHost(1, [], all)
  started.push(host)
  const server = createDelegateServer({
    host,
    handler,
    limits: all,
    admit: options.admit ?? (() => true),
    onStreamError: () => {},
  })
  await server.start()
  return { host, server }
}

async function connect(service: Service): Promise<Stream> {
  const stranger = await startStranger()
  started.push(stranger)
  return stranger.dialProtocol(service.host.getMultiaddrs(), DELEGATE_PROTOCOL)
}

const send = (stream: Stream, call: tkms.v1.DelegateCall.$Properties): void => {
  for (const chunk of encode([tkms.v1.DelegateCall.encode(call).finish()])) stream.send(chunk)
}

const request = (correlationId: number, bytes = 1): tkms.v1.DelegateCall.$Properties => ({
  correlationId,
  request: { payload: new Uint8Array(bytes).fill(correlationId), signature: new Uint8Array(64), publicKeyId: 'none' },
})

async function* replies(stream: Stream): AsyncGenerator<tkms.v1.DelegateReply> {
  for await (const frame of decode(stream)) yield tkms.v1.DelegateReply.decode(frame.slice())
}

async function take<T>(source: AsyncGenerator<T>, count: number): Promise<T[]> {
  const items: T[] = []
  while (items.length < count) {
    const { value, done } = await source.next()
    if (done === true) break
    items.push(value)
  }
  return items
}

async function closed(stream: Stream): Promise<void> {
  if (stream.status === 'open') await once(stream as unknown as EventTarget, 'close')
}

interface Gated {
  readonly handler: DelegationHandler
  release(payload: number): void
  /** Resolves when the first call has begun. */
  readonly begun: Promise<void>
  readonly seen: number[]
  readonly aborted: number[]
}

/** Answers every call with `busy` once `release` is called for its payload byte. */
function gated(): Gated {
  const begun = Promise.withResolvers<void>()
  const gates = new Map<number, PromiseWithResolvers<void>>()
  const gate = (payload: number): PromiseWithResolvers<void> => {
    const known = gates.get(payload) ?? Promise.withResolvers<void>()
    gates.set(payload, known)
    return known
  }
  const seen: number[] = []
  const aborted: number[] = []
  const handler: DelegationHandler = {
    handle: async ({ payload: [payload = 0] }, { signal }) => {
      seen.push(payload)
      begun.resolve()
      const { promise, resolve } = gate(payload)
      signal.addEventListener('abort', () => {
        aborted.push(payload)
        resolve()
      })
      await promise
      return { kind: 'refusal', code: signal.aborted ? 'cancelled' : 'busy' }
    },
  }
  return { handler, release: (payload) => gate(payload).resolve(), begun: begun.promise, seen, aborted }
}

test('answers come in the order they are ready, each with its correlation id', async () => {
  const { handler, release } = gated()
  const stream = await connect(await startService(handler))
  const incoming = replies(stream)
  for (const id of [1, 2, 3]) send(stream, request(id))
  release(3)
  expect((await take(incoming, 1)).map((reply) => reply.correlationId)).toEqual([3])
  release(1)
  release(2)
  expect((await take(incoming, 2)).map((reply) => reply.correlationId)).toEqual([1, 2])
})

test('an answer and a refusal carry the fields of the schema and no text', async () => {
  const answer = {
    index: 1,
    sharingId: new Uint8Array(32).fill(1),
    requestId: new Uint8Array(32).fill(2),
    box: new Uint8Array(256).fill(3),
    signature: new Uint8Array(64).fill(4),
  }
  const handler: DelegationHandler = {
    handle: async ({ payload: [payload] }) => {
      if (payload === 1) return { kind: 'answer', answer: answer as never }
      if (payload === 2) return { kind: 'refusal', code: 'clock-skew', skewSeconds: -90 }
      throw new Error('a secret reason')
    },
  }
  const stream = await connect(await startService(handler))
  for (const id of [1, 2, 3]) send(stream, request(id))
  const received = await take(replies(stream), 3)
  const byId = new Map(received.map((reply) => [reply.correlationId, reply]))
  expect(byId.get(1)?.answer).toMatchObject({ index: 1 })
  expect(byId.get(2)?.refusal).toMatchObject({ status: tkms.v1.Status.STATUS_CLOCK_SKEW, skewSeconds: -90 })
  expect(byId.get(3)?.refusal).toMatchObject({ status: tkms.v1.Status.STATUS_INTERNAL })
  expect(JSON.stringify(received)).not.toContain('secret reason')
})

test('a cancel frame aborts its call', async () => {
  const { handler, aborted } = gated()
  const stream = await connect(await startService(handler))
  send(stream, request(7))
  send(stream, { correlationId: 7, cancel: {} })
  const [reply] = await take(replies(stream), 1)
  expect(reply?.refusal?.status).toBe(tkms.v1.Status.STATUS_CANCELLED)
  expect(aborted).toEqual([7])
})

test('no more calls run at once than the window, and none is lost', async () => {
  const { handler, release, seen } = gated()
  const stream = await connect(await startService(handler, { delegateWindow: 2 }))
  const incoming = replies(stream)
  for (const id of [1, 2, 3, 4]) send(stream, request(id))
  release(1)
  await take(incoming, 1)
  expect(seen.length).toBeLessThanOrEqual(3)
  for (const id of [2, 3, 4]) release(id)
  await take(incoming, 3)
  expect(seen).toEqual([1, 2, 3, 4])
})

test('an address above its rate is refused as busy, slowly, without reaching the pipeline', async () => {
  const { handler, release, seen } = gated()
  const asked: string[] = []
  const admit = (address: string, tokens: number): boolean => asked.push(`${address} ${tokens}`) < 2
  const stream = await connect(await startService(handler, {}, { admit }))
  for (const id of [1, 2]) send(stream, request(id))
  const incoming = replies(stream)
  expect(await take(incoming, 1)).toMatchObject([{ correlationId: 2, refusal: { status: tkms.v1.Status.STATUS_BUSY } }])
  release(1)
  const sentMs = performance.now()
  send(stream, request(3, 20_000))
  await take(incoming, 2)
  expect([seen, asked, performance.now() - sentMs > 100]).toEqual([[1], [1, 1, 3].map((n) => `127.0.0.1 ${n}`), true])
})

test('the handler is told where a call came from and the hash of its token, never the token', async () => {
  const calls: DelegationCall[] = []
  const handler: DelegationHandler = {
    handle: async (_authorization, call) => {
      calls.push(call)
      return { kind: 'refusal', code: 'busy' }
    },
  }
  const stream = await connect(await startService(handler))
  send(stream, { ...request(1), token: 'secret-token' })
  send(stream, request(2))
  await take(replies(stream), 2)
  const tokenHash = new Uint8Array(createHash('sha256').update('secret-token').digest())
  expect(calls).toMatchObject([{ address: '127.0.0.1', tokenHash }, { address: '127.0.0.1' }])
  expect(calls[1]).not.toHaveProperty('tokenHash')
  expect(calls[0]).not.toHaveProperty('token')
})

test('the end of the stream aborts what is under way', async () => {
  const { handler, begun } = gated()
  const ended = Promise.withResolvers<void>()
  const watching: DelegationHandler = {
    handle: (authorization, call) => {
      call.signal.addEventListener('abort', () => ended.resolve())
      return handler.handle(authorization, call)
    },
  }
  const stream = await connect(await startService(watching))
  send(stream, request(1))
  await begun
  stream.abort(new Error('gone'))
  await expect(ended.promise).resolves.toBeUndefined()
})

test.for([
  ['a frame above the cap', [...prefix(MAX_DELEGATE_FRAME_BYTES + 1)]],
  ['a length of 2^31', [...prefix(2 ** 31)]],
  ['a frame that is none', [2, 0xff, 0xff]],
  ['a frame without a body', [2, 0x08, 0x01]],
  [
    'a token that is none',
    [...encode.single(tkms.v1.DelegateCall.encode({ ...request(1), token: 'a b' }).finish()).subarray()],
  ],
] as const)('%s resets the stream and the service goes on', async ([, bytes]) => {
  const { handler, release } = gated()
  const service = await startService(handler)
  const bad = await connect(service)
  const end = closed(bad)
  bad.send(Uint8Array.from(bytes))
  await end
  const good = await connect(service)
  send(good, request(1))
  release(1)
  expect(await take(replies(good), 1)).toHaveLength(1)
})

test('a half-sent frame is given up after the frame timeout, a silent stream after the idle time', async () => {
  const service = await startService(gated().handler, { delegateIdleMs: 300 })
  const slow = await connect(service)
  const silent = await connect(service)
  const ends = Promise.all([closed(slow), closed(silent)])
  slow.send(prefix(1000))
  await ends
})

test('a client that sends and never reads makes the node stop reading and is cut off', async () => {
  let handled = 0
  const answer = {
    index: 1,
    sharingId: new Uint8Array(32),
    requestId: new Uint8Array(32),
    box: new Uint8Array(64 * 1024),
    signature: new Uint8Array(64),
  }
  const handler: DelegationHandler = {
    handle: async () => {
      handled++
      return { kind: 'answer', answer: answer as never }
    },
  }
  const stream = await connect(await startService(handler, { drainTimeoutMs: 300, delegateWindow: 8 }))
  const end = closed(stream)
  stream.pause()
  for (let id = 1; id <= 2000; id++) send(stream, request(id))
  await end
  expect(handled).toBeLessThan(200)
})

test('a stop answers what is under way and takes no new stream', async () => {
  const { handler, release, begun } = gated()
  const service = await startService(handler)
  const stream = await connect(service)
  const incoming = replies(stream)
  send(stream, request(1))
  await begun
  const stopped = service.server.stop(AbortSignal.timeout(5_000))
  release(1)
  expect((await take(incoming, 1)).map((reply) => reply.correlationId)).toEqual([1])
  await stopped
})

function prefix(length: number): Uint8Array {
  const bytes: number[] = []
  let rest = length
  while (rest >= 128) {
    bytes.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  return Uint8Array.from([...bytes, rest])
}
