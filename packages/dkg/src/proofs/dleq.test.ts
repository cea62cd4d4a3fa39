import { schnorr, secp256k1 } from '@noble/curves/secp256k1.js'
import { describe, expect, it } from 'vitest'
import { attempt } from '../primitives/codec.ts'
import { nobleCurve } from '../primitives/noble-curve.ts'
import { encodeScalar, ORDER, secretScalar } from '../primitives/scalar.ts'
import { Secret } from '../primitives/secret.ts'
import type { PointBytes } from '../primitives/types.ts'
import { type DleqStatement, proveDleq, verifyDleq } from './dleq.ts'

const curve = nobleCurve
const base = curve.generator
const secret = secretScalar(0xabcdefn)
const B = curve.mulBaseSecret(secretScalar(777n))
const other = curve.mulBaseSecret(secretScalar(778n))
const message = new Uint8Array(32).fill(7)
const aux = new Uint8Array(32).fill(9)
const { A, C, proof } = proveDleq(curve, { secret, B, base, message, aux })
const statement: DleqStatement = { A, B, C, base, message }

describe('BIP-374 proofs', () => {
  it('verify as made', () => expect(verifyDleq(curve, statement, proof)).toBe(true))

  for (const field of ['A', 'B', 'C', 'base'] as const)
    it(`row 34: fail with another ${field}`, () =>
      expect(verifyDleq(curve, { ...statement, [field]: other }, proof)).toBe(false))

  it('row 34: fail with another message, none, and every flipped byte of e or s', () => {
    expect(verifyDleq(curve, { ...statement, message: new Uint8Array(32) }, proof)).toBe(false)
    expect(verifyDleq(curve, { A, B, C, base }, proof)).toBe(false)
    for (const at of [0, 31, 32, 63]) {
      const flipped = Uint8Array.from(proof)
      flipped[at] = (flipped[at] ?? 0) ^ 1
      expect(verifyDleq(curve, statement, flipped)).toBe(false)
    }
  })

  it('row 34: fail for a K that was solved for after the challenge was known', () => {
    const { Point } = secp256k1
    const { Fn } = Point
    const number = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
    const challenge = (...points: readonly Uint8Array[]): Uint8Array =>
      schnorr.utils.taggedHash('BIP0374/challenge', ...points, message)
    // The challenge of an honest proof is this hash, with B in it.
    const [e, s] = [proof.subarray(0, 32), Fn.create(number(proof.subarray(32)))]
    const rest = (at: Uint8Array, product: Uint8Array): Uint8Array =>
      Point.fromBytes(at)
        .multiply(s)
        .subtract(Point.fromBytes(product).multiply(Fn.create(number(e))))
        .toBytes(true)
    expect(challenge(A, B, C, base, rest(base, A), rest(B, C))).toEqual(Uint8Array.from(e))
    // Left out, it can be had first, for any product; a B for which the equations hold then follows.
    const wrong = other
    const [R1, R2] = [Point.BASE.multiply(5n), Point.BASE.multiply(7n)]
    const early = challenge(A, wrong, base, R1.toBytes(true), R2.toBytes(true))
    const [e2, s2] = [Fn.create(number(early)), Fn.create(5n + number(early) * 0xabcdefn)]
    const solved = R2.add(Point.fromBytes(wrong).multiply(e2)).multiply(Fn.inv(s2))
    expect(solved.multiply(s2).subtract(Point.fromBytes(wrong).multiply(e2)).equals(R2)).toBe(true)
    expect(solved.multiply(0xabcdefn).equals(Point.fromBytes(wrong))).toBe(false)
    const claim: DleqStatement = { A, B: solved.toBytes(true) as PointBytes, C: wrong, base, message }
    expect(verifyDleq(curve, claim, Buffer.concat([early, encodeScalar(s2)]))).toBe(false)
  })

  it('refuse s >= N and a proof of another length', () => {
    const s = proof.slice()
    s.set(encodeScalar(ORDER - 1n), 32)
    s[63] = (s[63] ?? 0) + 1
    expect(verifyDleq(curve, statement, s)).toBe(false)
    expect(verifyDleq(curve, statement, proof.subarray(1))).toBe(false)
    expect(verifyDleq(curve, statement, new Uint8Array(0))).toBe(false)
  })

  it('row 46: use different nonces for two messages although the randomness is broken', () => {
    const second = proveDleq(curve, { secret, B, base, message: new Uint8Array(32).fill(8), aux })
    const [e1, s1, e2, s2] = [proof, second.proof].flatMap((bytes) => [
      BigInt(`0x${Buffer.from(bytes.subarray(0, 32)).toString('hex')}`),
      BigInt(`0x${Buffer.from(bytes.subarray(32)).toString('hex')}`),
    ])
    if (e1 === undefined || e2 === undefined || s1 === undefined || s2 === undefined) throw new Error('no proofs')
    const inverse = (value: bigint): bigint => {
      let [a, b, x, y] = [((value % ORDER) + ORDER) % ORDER, ORDER, 1n, 0n]
      while (a > 1n) {
        const q = a / b
        ;[a, b, x, y] = [b, a % b, y, x - q * y]
      }
      return ((x % ORDER) + ORDER) % ORDER
    }
    const extracted = ((((s1 - s2) * inverse(e1 - e2)) % ORDER) + ORDER) % ORDER
    expect(extracted).not.toBe(0xabcdefn)
    expect(verifyDleq(curve, { ...statement, message: new Uint8Array(32).fill(8) }, second.proof)).toBe(true)
  })

  it('are deterministic in their inputs, and refuse secrets out of range', () => {
    expect(proveDleq(curve, { secret, B, base, message, aux }).proof).toEqual(proof)
    for (const value of [new Uint8Array(32), encodeScalar(ORDER - 1n).map((byte) => byte | 0xff)])
      expect(attempt(() => proveDleq(curve, { secret: new Secret(value), B, base, message, aux }))).toBeUndefined()
    expect(attempt(() => proveDleq(curve, { secret, B, base, message, aux: new Uint8Array(31) }))).toBeUndefined()
  })
})
