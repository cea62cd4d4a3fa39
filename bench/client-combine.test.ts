import { loadNativeCurve } from '@tkms/curve-native'
import { equalBytes, nobleCurve } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { benchClient, createClientSteps } from './client-combine.ts'
import { clientRows } from './client-part.ts'
import { createSharedKey } from './shared-key.ts'

const curves = [nobleCurve, loadNativeCurve() ?? nobleCurve]

describe('the bench of a client', () => {
  it.each(curves)('opens what it times on $backend, and finds a changed partial both ways', (curve) => {
    const key = createSharedKey({ n: 5, t: 3 })
    const steps = createClientSteps(curve, key)
    steps.open()
    steps.proven()
    const [first, second, third] = key.holders
    if (first === undefined || second === undefined || third === undefined) throw new Error('three holders were made')
    // The partial of another holder under this one's index.
    const content = Uint8Array.from([...first.content.subarray(0, 2), ...second.content.subarray(2)])
    expect(equalBytes(content, first.content)).toBe(false)
    const wrong = createClientSteps(curve, { ...key, holders: [{ ...first, content }, second, third] })
    expect(() => wrong.open()).toThrow('the combined point does not match the key commitment')
    expect(() => wrong.proven()).toThrow('an honest proof does not hold')
  })

  it('measures every threshold on every backend, each with its floor', () => {
    const thresholds = [2, 4]
    const costs = benchClient({ rounds: 1, thresholds, sliceMs: 0.1 })
    const backends = loadNativeCurve() === undefined ? ['noble'] : ['native', 'noble']
    expect(costs.map(({ t, n, backend }) => ({ t, n, backend }))).toEqual(
      thresholds.flatMap((t) => backends.map((backend) => ({ t, n: 3 * t - 2, backend }))),
    )
    const rows = costs.flatMap(clientRows)
    expect(rows).toHaveLength(2 * costs.length)
    expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length)
    for (const { value, floor, ratio } of rows)
      for (const figure of [value, floor, ratio]) expect(figure).toBeGreaterThan(0)
  })
})
