import { generateKeyPairSync } from 'node:crypto'
import { loadNativeCurve } from '@tkms/curve-native'
import { type Authorization, nobleCurve } from '@tkms/dkg'
import { memoryLedger } from './audit.ts'
import { createFloor } from './floor.ts'
import { createServingNode, type ServingNode } from './serving-node.ts'
import { median } from './statistics.ts'

export interface PartialResult {
  /** One complete single-item answer on libsecp256k1; undefined where its binary is missing. */
  readonly native_us: number | undefined
  readonly noble_us: number
  /** The bare operations of that answer, timed between the others. */
  readonly floor_us: number
}

/** Answers in process: all checks, the record (in memory: `benchAudit` has the disk), D_i, proof with self-verification, box, signature. The three are timed in turn, so drift hits all. */
export async function benchPartial(options: { readonly rounds: number }): Promise<PartialResult> {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
  const native = loadNativeCurve()
  const nativeNode = native && createServingNode(native, { spki, ledger: memoryLedger() })
  const nobleNode = createServingNode(nobleCurve, { spki, ledger: memoryLedger() })
  const floor = createFloor()
  const times = { native: [] as number[], noble: [] as number[], floor: [] as number[] }
  const warmUp = 2
  for (let round = -warmUp; round < options.rounds; round++) {
    const floorUs = timeUs(50, floor)
    const nativeUs = nativeNode && (await timeAnswersUs(nativeNode, 50))
    const nobleUs = await timeAnswersUs(nobleNode, 5)
    if (round < 0) continue
    times.floor.push(floorUs)
    times.noble.push(nobleUs)
    if (nativeUs !== undefined) times.native.push(nativeUs)
  }
  return {
    native_us: times.native.length === 0 ? undefined : median(times.native),
    noble_us: median(times.noble),
    floor_us: median(times.floor),
  }
}

function timeUs(count: number, run: () => void): number {
  const startMs = performance.now()
  for (let n = 0; n < count; n++) run()
  return ((performance.now() - startMs) * 1000) / count
}

async function timeAnswersUs(node: ServingNode, count: number): Promise<number> {
  const requests: Authorization[] = Array.from({ length: count }, () => node.request())
  const { signal } = new AbortController()
  const startMs = performance.now()
  for (const request of requests) {
    const result = await node.pipeline.handle(request, { remote: 'bench', address: '', signal })
    if (result.kind !== 'answer') throw new Error(`the node refused: ${result.code}`)
  }
  return ((performance.now() - startMs) * 1000) / count
}
