import { numberToBytesBE } from '@noble/curves/utils.js'
import { describe, expect, it } from 'vitest'
import { isBelowOrder, isSecretScalar, ORDER, publicScalar, scalarModOrder } from './scalar.ts'

const bytes = (value: bigint): Uint8Array => numberToBytesBE(value, 32)
const above = [ORDER, ORDER + 1n, ORDER + 256n, 2n ** 256n - 1n]
const below = [1n, 2n, 255n, 256n, ORDER >> 1n, ORDER - 256n, ORDER - 1n, 2n ** 255n, 2n ** 248n]

describe('32 bytes', () => {
  it('are a scalar below N', () => {
    for (const value of [0n, ...below]) expect(isBelowOrder(bytes(value))).toBe(true)
    for (const value of above) expect(isBelowOrder(bytes(value))).toBe(false)
  })

  it('are a secret scalar from 1 to N - 1, wherever they differ from N', () => {
    for (const value of below) expect(isSecretScalar(bytes(value))).toBe(true)
    for (const value of [0n, ...above]) expect(isSecretScalar(bytes(value))).toBe(false)
    for (let at = 0n; at < 256n; at++) {
      const changed = ORDER ^ (1n << at)
      expect(isSecretScalar(bytes(changed))).toBe(changed < ORDER)
      expect(isSecretScalar(bytes(1n << at))).toBe(true)
    }
  })

  it('are read as a number of 0 to N - 1, or reduced to one', () => {
    for (const value of [0n, ...below]) {
      expect(publicScalar(bytes(value))).toBe(value)
      expect(scalarModOrder(bytes(value))).toBe(value)
    }
    const refused = expect.objectContaining({ code: 'bad-scalar' })
    for (const value of above) {
      expect(() => publicScalar(bytes(value))).toThrow(refused)
      expect(scalarModOrder(bytes(value))).toBe(value % ORDER)
    }
    for (const wrong of [new Uint8Array(31), new Uint8Array(33)]) {
      expect(() => publicScalar(wrong)).toThrow(refused)
      expect(() => scalarModOrder(wrong)).toThrow(refused)
    }
  })
})
