import { readFileSync } from 'node:fs'
import { type Curve, nobleCurve } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { chooseCurve, loadNativeCurve, selectCurve } from './select-curve.ts'

describe('selectCurve', () => {
  it('takes the native backend where its binary loads', () => {
    const native = loadNativeCurve()
    const { curve, fallbackReason } = selectCurve()
    expect(curve.backend).toBe(native?.backend ?? 'noble')
    expect(fallbackReason === undefined).toBe(native !== undefined)
  })

  it('falls back to noble and says why where there is no binary', () => {
    const { curve, fallbackReason } = chooseCurve(undefined)
    expect(curve).toBe(nobleCurve)
    expect(fallbackReason).toMatch(/no libsecp256k1 binary/)
  })

  it.each<Partial<Curve>>([
    { mulSecret: () => nobleCurve.generator },
    { mulBaseSecret: () => nobleCurve.generator },
    { proofCommitment: () => undefined },
  ])('falls back from a backend that computes wrongly: %o', (wrong) => {
    const { curve, fallbackReason } = chooseCurve({ ...nobleCurve, ...wrong })
    expect(curve).toBe(nobleCurve)
    expect(fallbackReason).toMatch(/self-check/)
  })

  it('imports the native entry only, never the one with the pure JavaScript fallback', () => {
    const imports = (name: string): readonly string[] => [
      ...(readFileSync(new URL(name, import.meta.url), 'utf8').match(/(?<=(?:import\(|from ))'[^.'][^']*'/g) ?? []),
    ]
    expect(imports('./libsecp256k1.ts')).toEqual(["'secp256k1/bindings.js'"])
    expect(imports('./select-curve.ts')).toEqual(["'@tkms/dkg'", "'@tkms/curve-native/libsecp256k1'"])
  })
})
