import { secp256k1 } from '@noble/curves/secp256k1.js'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../errors.ts'
import { attempt } from './codec.ts'
import { nobleCurve } from './noble-curve.ts'
import { decodePoint, participantIndex } from './point.ts'
import { decodeScalar, encodeScalar, invertScalar, ORDER } from './scalar.ts'

const G = bytesToHex(nobleCurve.generator)
const uncompressed = bytesToHex(secp256k1.Point.BASE.toBytes(false))
const P = 2n ** 256n - 2n ** 32n - 977n
const hex32 = (value: bigint): string => value.toString(16).padStart(64, '0')

describe('strict point encoding (row 3)', () => {
  it('accepts both parities of a point', () => {
    expect(bytesToHex(decodePoint(nobleCurve, hexToBytes(G)))).toBe(G)
    expect(decodePoint(nobleCurve, hexToBytes(`03${G.slice(2)}`))).toHaveLength(33)
  })

  const cases: readonly (readonly [string, string])[] = [
    ['nothing', ''],
    ['the identity as one byte', '00'],
    ['the identity padded', '00'.repeat(33)],
    ['65 bytes', uncompressed],
    ['hybrid 06, 33 bytes', `06${G.slice(2)}`],
    ['hybrid 07, 33 bytes', `07${G.slice(2)}`],
    ['hybrid 06, 65 bytes', `06${uncompressed.slice(2)}`],
    ['prefix 04, 33 bytes', `04${G.slice(2)}`],
    ['32 bytes', G.slice(2)],
    ['34 bytes', `${G}00`],
    ['x = p', `02${hex32(P)}`],
    ['x = p + 1, whose reduction is on the curve', `02${hex32(P + 1n)}`],
    ['x of the twist', `02${hex32(5n)}`],
    ['x = 2^256 - 1', `02${'ff'.repeat(32)}`],
    ['x = 0', `02${'00'.repeat(32)}`],
  ]
  for (const [name, hex] of cases)
    it(`refuses ${name}`, () => {
      const error = (() => {
        try {
          return decodePoint(nobleCurve, hexToBytes(hex), 'K')
        } catch (caught) {
          return caught
        }
      })()
      expect(error).toBeInstanceOf(KmsError)
      expect(error).toMatchObject({ code: 'bad-point', data: { field: 'K' } })
    })
})

describe('strict scalars and indices (rows 4 and 5)', () => {
  for (const value of [0n, ORDER, ORDER + 1n, 2n ** 256n - 1n])
    it(`refuses the scalar ${value.toString(16).slice(0, 8)}..`, () =>
      expect(attempt(() => decodeScalar(hexToBytes(hex32(value))))).toBeUndefined())

  it('accepts 1 and N-1 and round-trips them', () => {
    for (const value of [1n, ORDER - 1n]) expect(decodeScalar(encodeScalar(value))).toBe(value)
  })

  it('refuses scalars of another length, and to invert 0', () => {
    expect(attempt(() => decodeScalar(new Uint8Array(31).fill(1)))).toBeUndefined()
    expect(attempt(() => decodeScalar(new Uint8Array(33).fill(1)))).toBeUndefined()
    expect(attempt(() => invertScalar(ORDER))).toBeUndefined()
  })

  for (const index of [0, -1, 65536, 1.5, Number.NaN])
    it(`refuses the index ${index}`, () => expect(attempt(() => participantIndex(index))).toBeUndefined())
})
