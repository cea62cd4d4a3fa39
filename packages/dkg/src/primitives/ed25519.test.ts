import { ed25519 } from '@noble/curves/ed25519.js'
import { describe, expect, it } from 'vitest'
import { attempt } from './codec.ts'
import { decodeNodePublicKey } from './ed25519.ts'

const admits = (bytes: Uint8Array): boolean => attempt(() => decodeNodePublicKey(bytes)) !== undefined

describe('admission of Ed25519 public keys', () => {
  const good = ed25519.getPublicKey(new Uint8Array(32).fill(7))
  const withTorsion = ed25519.Point.fromBytes(good)
    .add(ed25519.Point.fromHex('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'))
    .toBytes()

  it('gives the same answer every time it is asked', () => {
    for (let time = 0; time < 3; time++) {
      expect(admits(good)).toBe(true)
      expect(admits(Uint8Array.of(1, ...new Uint8Array(31)))).toBe(false)
      expect(admits(withTorsion)).toBe(false)
      expect(admits(good.subarray(1))).toBe(false)
      expect(admits(Uint8Array.of(...good, 0))).toBe(false)
      expect(admits(new Uint8Array(32).fill(255))).toBe(false)
    }
  })
})
