import {
  decodeBatch,
  openBatch,
  itemPoint,
  pdecContext,
  type RequestItemV2,
  requestHash,
  Secret,
  splitBox,
  verifyPartial,
} from '@tkms/dkg'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import {
  alice,
  authorize,
  createSigner,
  createTestPipeline,
  curve,
  index,
  itemFor,
  keyId,
  openBlock,
  ownVerificationShare,
  requestOf,
  sharingId,
} from '../pipeline.fixture.ts'
import { createWorkerPool, type WorkerPool } from './worker-pool.ts'

let workers: WorkerPool
beforeAll(() => {
  workers = createWorkerPool({ size: 2, onLost: (cause) => expect.fail(String(cause)) })
})
afterAll(() => workers.stop())

it('answers a batch in its order with the help of threads; a refused item does not refuse the rest', async () => {
  await vi.waitFor(() => expect(workers.isReady()).toBe(true), 10_000)
  const run = vi.spyOn(workers, 'run')
  const { pipeline, lender } = createTestPipeline({ workers })
  const others = createSigner()
  const items = Array.from({ length: 27 }, (_, at): RequestItemV2 => {
    const item = itemFor(at % 7 === 2 ? others : alice)
    return at % 5 === 4 ? { ...item, proof: new Uint8Array(64).fill(1) } : item
  })
  const request = requestOf({ items })
  const authorization = authorize(request)
  const call = { remote: 'test', address: '10.0.0.1', signal: new AbortController().signal }
  const result = await pipeline.handle(authorization, call)
  if (result.kind !== 'answer') throw new Error(result.code)
  const ctx = pdecContext({
    purpose: 'ecies-dec',
    keyId,
    epoch: 0,
    sharingId,
    index,
    requestId: request.requestId,
    requestHash: requestHash(authorization.payload),
  })
  const { rsaBlock, sealed } = splitBox(result.answer.box, 256)
  const { items: answered } = decodeBatch(curve, openBatch(new Secret(openBlock(rsaBlock)), ctx, sealed))
  const outcomes = answered.map((item, at) => {
    if (item.kind === 'refusal') return item.code
    const K = itemPoint(items[at] ?? expect.fail())
    return verifyPartial(curve, { ...item, verificationShare: ownVerificationShare, K, ctx })
  })
  expect(outcomes).toEqual(
    items.map((_, at) => (at % 5 === 4 ? 'bad-header-proof' : at % 7 === 2 ? 'not-allowed' : true)),
  )
  // Four calls for the header proofs; partials of what is left in threes of eight.
  expect(run.mock.calls.map(([{ kind }]) => kind)).toEqual([
    ...Array.from({ length: 4 }, () => 'headers'),
    ...Array.from({ length: 3 }, () => 'partials'),
  ])
  expect(lender.onLoan).toBe(0)
})
