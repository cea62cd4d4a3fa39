import { tkms } from '@tkms/proto'
import { decode } from 'it-length-prefixed'
import { expect, test } from 'vitest'
import { type CallAnswerer, createCallAnswerer, type DelegationHandler } from './answer-calls.ts'

const REFUSED = { kind: 'refusal', code: 'busy' } as const

interface Driven {
  readonly answerer: CallAnswerer
  readonly chunks: AsyncGenerator<Uint8Array>
  readonly begun: number[]
  readonly read: { count: number }
  /** Answers these calls in one turn of the event loop. */
  release(...ids: readonly number[]): void
}

/** An answerer that is given so many requests, each of which waits until it is released. */
function drive(requests: number, { window = 64, boxBytes = 0 } = {}, signal = new AbortController().signal): Driven {
  const gates = new Map<number, PromiseWithResolvers<void>>()
  const gate = (id: number): PromiseWithResolvers<void> => {
    const known = gates.get(id) ?? Promise.withResolvers<void>()
    gates.set(id, known)
    return known
  }
  const begun: number[] = []
  const read = { count: 0 }
  const handler: DelegationHandler = {
    handle: async ({ payload: [id = 0] }, call) => {
      begun.push(id)
      call.signal.addEventListener('abort', () => gate(id).reject(call.signal.reason))
      await gate(id).promise
      if (boxBytes === 0) return REFUSED
      const box = new Uint8Array(boxBytes)
      return { kind: 'answer', answer: { index: 1, sharingId: box, requestId: box, box, signature: box } as never }
    },
  }
  const onInternalError = (): void => undefined
  const answerer = createCallAnswerer({
    handler,
    remote: 'test',
    address: '192.0.2.1',
    signal,
    window,
    onInternalError,
  })
  async function* frames(): AsyncGenerator<Uint8Array> {
    for (let id = 1; id <= requests; id++) {
      read.count = id
      const request = { payload: Uint8Array.of(id), signature: new Uint8Array(64), publicKeyId: 'none' }
      yield tkms.v1.DelegateCall.encode({ correlationId: id, request }).finish()
    }
    await new Promise(() => undefined)
  }
  const release = (...ids: readonly number[]): void => {
    for (const id of ids) gate(id).resolve()
  }
  return { answerer, chunks: answerer.answer(frames()), begun, read, release }
}

async function next(chunks: AsyncGenerator<Uint8Array>): Promise<readonly number[]> {
  const { value } = await chunks.next()
  return value === undefined
    ? []
    : [...decode([value])].map((reply) => tkms.v1.DelegateReply.decode(reply.subarray()).correlationId)
}

test('replies that become ready in one turn leave together, those of another turn by themselves', async () => {
  const { chunks, release } = drive(5)
  const first = next(chunks)
  release(4, 2, 5)
  expect(await first).toEqual([2, 4, 5])
  const second = next(chunks)
  release(1)
  expect(await second).toEqual([1])
})

test('a slow answer holds up none of the others on its stream', async () => {
  const { chunks, release, answerer } = drive(40)
  const told: number[] = []
  for (let id = 2; id <= 40; id++) {
    const chunk = next(chunks)
    release(id)
    told.push(...(await chunk))
  }
  expect([told.length, told.includes(1), answerer.underWay]).toEqual([39, false, 1])
  const last = next(chunks)
  release(1)
  expect(await last).toEqual([1])
})

test('what leaves together is bounded in bytes, and one reply above the bound leaves alone', async () => {
  const short = drive(40, { boxBytes: 1_000 })
  const first = short.chunks.next()
  short.release(...Array.from({ length: 40 }, (_, at) => at + 1))
  const { value } = await first
  expect(value?.length).toBeGreaterThan(50_000)
  expect(value?.length).toBeLessThanOrEqual(60 * 1024)
  const long = drive(2, { boxBytes: 30_000 })
  const alone = next(long.chunks)
  long.release(1, 2)
  expect(await alone).toEqual([1])
  expect(await next(long.chunks)).toEqual([2])
})

test('nothing more is read while the window is full of calls, or of replies that nobody takes', async () => {
  const { chunks, release, read, begun, answerer } = drive(100, { window: 4 })
  const first = next(chunks)
  release(1, 2, 3, 4)
  expect((await first).length).toBeGreaterThan(0)
  release(...Array.from({ length: 96 }, (_, at) => at + 5))
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  expect(answerer.underWay).toBeLessThanOrEqual(4)
  // Those that left, and a window more.
  expect([read.count <= 9, begun.length <= 8]).toEqual([true, true])
})

test('when the stream ends, all its calls are told to stop', async () => {
  const ended = new AbortController()
  const { chunks, begun, answerer } = drive(3, {}, ended.signal)
  const first = next(chunks)
  while (begun.length < 3) await Promise.resolve()
  ended.abort(new Error('gone'))
  // Each of them is over: the handler threw the reason.
  const told = [...(await first)]
  while (told.length < 3) told.push(...(await next(chunks)))
  expect([told.toSorted((left, right) => left - right), answerer.underWay]).toEqual([[1, 2, 3], 0])
})
