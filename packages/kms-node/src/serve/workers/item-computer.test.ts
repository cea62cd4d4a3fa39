import { KmsError, nobleCurve, type Secret, verifyPartial } from '@tkms/dkg'
import { afterEach, describe, expect, it, type MockInstance, vi } from 'vitest'
import { Cancelled } from '../each-item.ts'
import type { Loan, ServedKey } from '../key-table.ts'
import {
  alice,
  curve,
  inCommonMemory,
  itemFor,
  ownVerificationShare,
  rng,
  shareAt,
  verifiedKey,
} from '../pipeline.fixture.ts'
import { createLocalComputer, createThreadedComputer, type ItemComputer, type PartialInput } from './item-computer.ts'
import { createWorkerPool, WorkerLost, type WorkerPool } from './worker-pool.ts'

const ctx = rng.bytes(137)
const served = { key: verifiedKey(), index: 2, verificationShare: ownVerificationShare } as unknown as ServedKey
const never = new AbortController().signal

const loanOf = (share: Secret): Loan => ({ use: (fn) => fn(share), end: () => undefined })

function inputOf(count: number, share = inCommonMemory(shareAt(2))): PartialInput {
  const points = Array.from({ length: count }, () => itemFor(alice).header.K)
  return { served, loan: loanOf(share), ctx, points, aux: points.map(() => rng.bytes(32)) }
}

const pools: WorkerPool[] = []
afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.stop()
})

async function readyPool(options: Partial<Parameters<typeof createWorkerPool>[0]> = {}): Promise<{
  readonly pool: WorkerPool
  readonly lost: unknown[]
  readonly run: MockInstance<WorkerPool['run']>
  /** What `run` spies on. */
  readonly real: WorkerPool['run']
}> {
  const lost: unknown[] = []
  const pool = createWorkerPool({ size: 2, onLost: (cause) => lost.push(cause), ...options })
  pools.push(pool)
  await vi.waitFor(() => expect([pool.isReady(), lost]).toEqual([true, []]), 10_000)
  const { run: real } = pool
  return { pool, lost, run: vi.spyOn(pool, 'run'), real }
}
const threaded = (pool: WorkerPool, underWay = 1): ItemComputer =>
  createThreadedComputer({ curve, pool, underWay: () => underWay })
/** A thread that says it is ready, and then does this with each message. */
const program = (onMessage: string): URL =>
  new URL(
    `data:text/javascript,import { parentPort as p } from 'node:worker_threads'; p.on('message', () => { ${onMessage} }); p.postMessage({ ready: 'x' })`,
  )

describe('the threaded computer', () => {
  it('computes what the local one computes, in the order asked', async () => {
    const { pool, run } = await readyPool()
    const input = inputOf(21)
    const partials = await threaded(pool).partials(input, never)
    expect(partials).toEqual(await createLocalComputer(curve).partials(input, never))
    expect(run).toHaveBeenCalledTimes(3)
    for (const [at, { D, proof }] of partials.entries()) {
      const K = input.points[at] ?? expect.fail()
      expect(verifyPartial(nobleCurve, { verificationShare: ownVerificationShare, K, ctx, D, proof })).toBe(true)
    }
  })

  it('finds the header proofs that do not hold', async () => {
    const { pool, run } = await readyPool()
    const items = Array.from({ length: 18 }, () => itemFor(alice))
    const forged = items.map((item, at) => (at % 5 === 3 ? { ...item, ctHash: rng.bytes(32) } : item))
    const proofs = await threaded(pool).headerProofs(forged, never)
    expect(proofs).toEqual(forged.map((_, at) => at % 5 !== 3))
    expect(run).toHaveBeenCalledTimes(3)
  })

  it('does a single item of a lone request here, and on a thread while others wait', async () => {
    const { pool, run } = await readyPool()
    await threaded(pool, 1).partials(inputOf(1), never)
    expect(run).not.toHaveBeenCalled()
    await threaded(pool, 2).partials(inputOf(1), never)
    expect(run).toHaveBeenCalledTimes(1)
  })

  it('does a single item here while every thread has work', async () => {
    const { pool, run } = await readyPool({ size: 1 })
    const batch = threaded(pool, 2).partials(inputOf(24), never)
    expect(pool.isIdle()).toBe(false)
    expect(await threaded(pool, 2).partials(inputOf(1), never)).toHaveLength(1)
    await batch
    expect(run).toHaveBeenCalledTimes(3)
  })

  it.each([
    [1, 4],
    [2, 2],
  ])('of %i requests under way, gives each at most %i calls at once on two threads', async (underWay, expected) => {
    const { pool, run, real } = await readyPool()
    let [now, most] = [0, 0]
    run.mockImplementation(async (work) => {
      most = Math.max(most, ++now)
      return real(work).finally(() => now--)
    })
    expect(await threaded(pool, underWay).partials(inputOf(96), never)).toHaveLength(96)
    expect(most).toBe(expected)
  })

  it('sends no share that lies in memory of this thread alone', async () => {
    const { pool, run } = await readyPool()
    const input = inputOf(9, shareAt(2))
    expect(await threaded(pool).partials(input, never)).toHaveLength(9)
    expect(run).not.toHaveBeenCalled()
  })

  it('refuses what a wrong share computes', async () => {
    const { pool } = await readyPool()
    const wrong = threaded(pool).partials(inputOf(9, inCommonMemory(shareAt(3))), never)
    await expect(wrong).rejects.toMatchObject({ code: 'self-check-failed' })
    await expect(wrong).rejects.toBeInstanceOf(KmsError)
  })

  it.each([
    ['dies', 'process.exit(3)', undefined],
    ['fails', "throw new Error('broken')", undefined],
    ['does not answer', '', 1_000],
  ])('does the work of a thread that %s', async (_what, onMessage, callTimeoutMs) => {
    const { pool, lost } = await readyPool({
      size: 1,
      entry: program(onMessage),
      ...(callTimeoutMs !== undefined && { callTimeoutMs }),
    })
    const input = inputOf(20)
    const partials = await threaded(pool).partials(input, never)
    expect(partials).toEqual(await createLocalComputer(curve).partials(input, never))
    expect(lost).toHaveLength(1)
    expect(pool.isReady()).toBe(false)
  })

  it('gives up a thread that does not start', async () => {
    const lost: unknown[] = []
    const entry = new URL('data:text/javascript,setTimeout(() => {}, 60000)')
    const pool = createWorkerPool({ size: 1, onLost: (cause) => lost.push(cause), entry, startTimeoutMs: 50 })
    pools.push(pool)
    expect(pool.isReady()).toBe(false)
    await vi.waitFor(() => expect(lost).toHaveLength(1))
    await expect(pool.run({ kind: 'headers', headers: new Uint8Array(0) })).rejects.toBeInstanceOf(WorkerLost)
  })

  it('ends when the caller leaves, and not before its threads let go of the share', async () => {
    const { pool, run, real } = await readyPool()
    const leaving = new AbortController()
    let unfinished = 0
    run.mockImplementation(async (work) => {
      unfinished++
      leaving.abort()
      const done = await real(work)
      await new Promise((resolve) => setTimeout(resolve, 20))
      unfinished--
      return done
    })
    await expect(threaded(pool).partials(inputOf(64), leaving.signal)).rejects.toBeInstanceOf(Cancelled)
    expect(run.mock.calls.length).toBeLessThan(8)
    expect(unfinished).toBe(0)
  })

  it('ends with its threads, whose unfinished work is done here', async () => {
    const { pool, lost } = await readyPool({ size: 1, entry: program('') })
    const partials = threaded(pool).partials(inputOf(9), never)
    await pool.stop()
    expect(await partials).toHaveLength(9)
    expect(lost).toEqual([])
    expect(pool.isReady()).toBe(false)
  })
})
