import { expect, it } from 'vitest'
import { memoryLedger } from '../audit/ledger.fixture.ts'
import { createWindowCounter } from '../policy/window-counter.ts'
import { authorize, clock, createSigner, createTestPipeline, itemFor, policyOf, requestOf } from './pipeline.fixture.ts'
import type { DelegationCall, DelegationResult } from './pipeline.ts'

const call = (address: string, signal = new AbortController().signal): DelegationCall => ({
  remote: 'test',
  address,
  signal,
})
const codeOf = (result: DelegationResult): string => (result.kind === 'answer' ? 'answer' : result.code)
const quotaOf = (items: number): object => ({ rule: 'quota', requester: [{ items, seconds: 60 }] })

it('copies of a request use up nothing of its requester’s quota', async () => {
  const policy = policyOf({ all: [{ rule: 'owner' }, quotaOf(4)] })
  const limits = { maxRequestsInFlight: 16, maxRequestsQueued: 16, rsaKeyCacheEntries: 16 }
  const { pipeline } = createTestPipeline({ policy, limits })
  const captured = authorize(requestOf())
  const copies = await Promise.all(['a', 'b', 'c', 'd'].map((address) => pipeline.handle(captured, call(address))))
  expect(copies.map(codeOf).toSorted()).toEqual(['answer', 'replayed', 'replayed', 'replayed'])
  for (const expected of ['answer', 'answer', 'answer', 'not-allowed'])
    expect(codeOf(await pipeline.handle(authorize(requestOf()), call('e')))).toBe(expected)
})

it('counts only what is released: not what another rule refuses, what is cancelled, and what cannot be recorded', async () => {
  const policy = policyOf({ all: [quotaOf(1), { rule: 'owner' }] })
  let recorded: 'unavailable' | undefined = 'unavailable'
  const memory = memoryLedger(clock)
  const left = new AbortController()
  const ledger: typeof memory = {
    ...memory,
    record: async (entry) => recorded ?? memory.record(entry),
  }
  const { pipeline } = createTestPipeline({ policy, ledger })
  const ask = async (changes = {}, signal?: AbortSignal): Promise<string> =>
    codeOf(await pipeline.handle(authorize(requestOf(changes)), call('a', signal)))
  expect(await ask({ items: [itemFor(createSigner())] })).toBe('not-allowed')
  expect(await ask()).toBe('audit-unavailable')
  recorded = undefined
  const cancelled = ask({}, left.signal)
  left.abort()
  expect(await cancelled).toBe('cancelled')
  expect([await ask(), await ask()]).toEqual(['answer', 'not-allowed'])
})

it('takes a count back where it was counted', () => {
  const counter = createWindowCounter([{ items: 1, seconds: 60 }], 1)
  const undo = counter.count('a', 59)
  expect(counter.room('a', 60)).toBe('used-up')
  undo()
  expect([counter.size, counter.room('b', 60)]).toEqual([0, 'room'])
  const first = counter.count('b', 60)
  counter.count('b', 120)
  first()
  expect(counter.room('b', 181)).toBe('used-up')
  expect(counter.room('b', 240)).toBe('room')
})
