import { openLoopback } from './loopback.ts'
import { median } from './statistics.ts'

/** Keys made by five real processes on loopback, t = 3: the middle of their times. */
export async function benchKeyGeneration(options: {
  readonly ceremonies: number
  readonly log: (line: string) => void
}): Promise<{ readonly n5t3_ms: number }> {
  const loopback = await openLoopback()
  try {
    const ceremonyMs = [loopback.madeKeyMs]
    for (let n = 1; n < options.ceremonies; n++) {
      const { tookMs } = await loopback.cluster.makeKey(`ecies/bench-${n}`)
      ceremonyMs.push(tookMs)
      options.log(`key ${n + 1} of ${options.ceremonies}: ${tookMs.toFixed(0)} ms`)
    }
    return { n5t3_ms: Math.round(median(ceremonyMs) * 100) / 100 }
  } finally {
    await loopback.stop()
  }
}
