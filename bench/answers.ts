import { generateKeyPairSync } from 'node:crypto'
import { loadNativeCurve } from '@tkms/curve-native'
import { type Authorization, nobleCurve } from '@tkms/dkg'
import { memoryLedger } from './audit.ts'
import { createFloor } from './floor.ts'
import type { ReleaseLedger } from '@tkms/kms-node/serve'
import { createServingNode, type ServingNode } from './serving-node.ts'
import { median, timeUs } from './statistics.ts'

/** One complete answer, per item. */
export interface AnswerCost {
  /** Items of the request. */
  readonly items: number
  /** On libsecp256k1; null where its binary is missing. */
  readonly native_us: number | null
  /** On noble; null where it takes too long to be measured here. */
  readonly noble_us: number | null
  /** The bare operations of such an answer. */
  readonly floor_us: number
  /** `native_us` to `floor_us`: the middle of the rounds' own ratios, which drift less than the times. */
  readonly native_ratio: number | null
  /** The same without the record, which is no operation of the curve or of OpenSSL. */
  readonly unrecorded_ratio: number | null
}

/** Keeps nothing. */
const UNRECORDED: ReleaseLedger = {
  seen: () => false,
  record: () => Promise.resolve('recorded'),
  refused: () => undefined,
}

interface Backend {
  /** Makes requests, so that what comes then times nothing but their answers. @returns microseconds per item */
  prepare(items: number, requests: number): () => Promise<number>
}

/**
 * Answers in process, one after the other: all checks, the record (in memory: `benchAudit` has the disk), D_i, proof with
 * self-verification, box, signature. They and their floor are timed in turn, so drift hits all.
 */
export async function benchAnswers(options: { readonly rounds: number }): Promise<readonly AnswerCost[]> {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
  const curve = loadNativeCurve()
  const native = curve && backend(createServingNode(curve, { spki, ledger: memoryLedger() }))
  const unrecorded = curve && backend(createServingNode(curve, { spki, ledger: UNRECORDED }))
  const noble = backend(createServingNode(nobleCurve, { spki, ledger: memoryLedger() }))
  const floor = createFloor()
  // Compiled before anything counts.
  await native?.prepare(1, 300)()
  await unrecorded?.prepare(1, 300)()
  await noble.prepare(1, 10)()
  const sizes = [
    { items: 1, requests: 20, nobleRequests: 2 },
    { items: 16, requests: 4, nobleRequests: 1 },
    { items: 256, requests: 1, nobleRequests: 0 },
  ]
  const results: AnswerCost[] = []
  for (const { items, requests, nobleRequests } of sizes) {
    const rounds = options.rounds + 1
    const prepared = Array.from({ length: rounds }, () => ({
      answer: native?.prepare(items, requests),
      answerUnrecorded: unrecorded?.prepare(items, requests),
    }))
    const floorUs: number[] = []
    const nativeUs: number[] = []
    const ratios = { native: [] as number[], unrecorded: [] as number[] }
    const floorSlice = (): number => timeUs(requests, () => floor(items)) / items
    for (const [round, { answer, answerUnrecorded }] of prepared.entries()) {
      const first = floorSlice()
      const recordedUs = await answer?.()
      const second = floorSlice()
      const unrecordedUs = await answerUnrecorded?.()
      const third = floorSlice()
      // The first one warms up.
      if (round === 0) continue
      floorUs.push(first, second, third)
      if (recordedUs === undefined || unrecordedUs === undefined) continue
      nativeUs.push(recordedUs)
      ratios.native.push((2 * recordedUs) / (first + second))
      ratios.unrecorded.push((2 * unrecordedUs) / (second + third))
    }
    const nobleUs: number[] = []
    for (let round = 0; nobleRequests > 0 && round < MAX_NOBLE_ROUNDS; round++)
      nobleUs.push(await noble.prepare(items, nobleRequests)())
    results.push({
      items,
      native_us: medianOrNull(nativeUs),
      noble_us: medianOrNull(nobleUs),
      floor_us: median(floorUs),
      native_ratio: medianOrNull(ratios.native),
      unrecorded_ratio: medianOrNull(ratios.unrecorded),
    })
  }
  return results
}

/** noble takes twenty times as long as the rest, and nothing is compared with it. */
const MAX_NOBLE_ROUNDS = 5

const medianOrNull = (values: readonly number[]): number | null => (values.length === 0 ? null : median(values))

const backend = (node: ServingNode): Backend => ({
  prepare(items, count) {
    const requests: Authorization[] = Array.from({ length: count }, () => node.request(items))
    const { signal } = new AbortController()
    return async () => {
      const startMs = performance.now()
      for (const request of requests) {
        const result = await node.pipeline.handle(request, { remote: 'bench', address: '', signal })
        if (result.kind !== 'answer') throw new Error(`the node refused: ${result.code}`)
      }
      return ((performance.now() - startMs) * 1000) / (count * items)
    }
  },
})
