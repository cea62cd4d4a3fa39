import type { Authorization } from '@tkms/dkg'
import { describe, expect, test } from 'vitest'
import type { DelegationCall, DelegationPipeline, DelegationResult } from '../serve/pipeline.ts'
import { createDrain } from './drain.ts'

const call = {} as DelegationCall
const authorization = {} as Authorization

/** Answers when it is told to. */
function slowPipeline(): { readonly pipeline: DelegationPipeline; readonly answer: () => void; handled: number } {
  const { promise, resolve } = Promise.withResolvers<DelegationResult>()
  const slow = {
    handled: 0,
    answer: () => resolve({ kind: 'refusal', code: 'unknown-key' }),
    pipeline: {
      underWay: 0,
      handle: () => {
        slow.handled++
        return promise
      },
    },
  }
  return slow
}

describe('a node that stops', () => {
  test('says so, refuses what is new, answers what is under way, and only then goes on', async () => {
    const slow = slowPipeline()
    const drain = createDrain(slow.pipeline)
    expect(drain.problem()).toBeUndefined()
    const before = drain.pipeline.handle(authorization, call)
    let stopped = false
    const stopping = drain.stop().then(() => (stopped = true))
    expect(drain.problem()).toBe('stopping')
    expect(await drain.pipeline.handle(authorization, call)).toEqual({ kind: 'refusal', code: 'not-ready' })
    await new Promise((resolve) => setImmediate(resolve))
    expect([slow.handled, stopped]).toEqual([1, false])
    slow.answer()
    expect(await before).toEqual({ kind: 'refusal', code: 'unknown-key' })
    await stopping
    expect(stopped).toBe(true)
    await drain.stop()
  })

  test('waits for nobody when nothing is under way, and not for ever when something is', async () => {
    await createDrain(slowPipeline().pipeline).stop()
    const drain = createDrain(slowPipeline().pipeline, 1)
    void drain.pipeline.handle(authorization, call)
    await drain.stop()
    expect(drain.problem()).toBe('stopping')
  })
})
