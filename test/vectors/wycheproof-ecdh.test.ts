import { type Curve, decodePoint, encodeScalar, type PointBytes, Secret } from '@tkms/dkg'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { backends, bytes, describeVectors, number, wycheproof } from '../support/vectors.ts'

interface EcdhTest {
  readonly tcId: number
  readonly comment: string
  /** SubjectPublicKeyInfo, DER. */
  readonly public: string
  readonly private: string
  /** The x coordinate of the product. */
  readonly shared: string
  readonly result: 'valid' | 'invalid' | 'acceptable'
}

const UNCOMPRESSED_SPKI = '3056301006072a8648ce3d020106052b8104000a034200'
const COMPRESSED_SPKI = '3036301006072a8648ce3d020106052b8104000a032200'

/** The strict point behind a canonical secp256k1 SubjectPublicKeyInfo, `undefined` for anything else. */
function admit(curve: Curve, spki: string): PointBytes | undefined {
  try {
    if (spki.startsWith(COMPRESSED_SPKI)) return decodePoint(curve, bytes(spki.slice(COMPRESSED_SPKI.length)))
    const raw = bytes(spki.startsWith(UNCOMPRESSED_SPKI) ? spki.slice(UNCOMPRESSED_SPKI.length) : '')
    if (raw.length !== 65 || raw[0] !== 4) return undefined
    const point = decodePoint(curve, Uint8Array.of(2 + ((raw[64] ?? 0) & 1), ...raw.subarray(1, 33)))
    const y = secp256k1.Point.fromBytes(point).toBytes(false).subarray(33)
    return bytesToHex(y) === bytesToHex(raw.subarray(33)) ? point : undefined
  } catch {
    return undefined
  }
}

describeVectors('Wycheproof ECDH over secp256k1', () => {
  const tests = wycheproof<object, EcdhTest>('ecdh_secp256k1_test.json')

  describe.each(backends)('on $backend', (curve) => {
    const multiply = (test: EcdhTest): string | undefined => {
      const point = admit(curve, test.public)
      return point && bytesToHex(curve.mulSecret(point, new Secret(encodeScalar(number(test.private))))).slice(2)
    }

    it('multiplies every valid point', () => {
      const valid = tests.filter(({ result }) => result === 'valid')
      expect(valid).toHaveLength(473)
      for (const test of valid) expect([test.tcId, multiply(test)]).toEqual([test.tcId, test.shared])
    })

    it('refuses every invalid one: off the curve, twist, another curve, another encoding', () => {
      const invalid = tests.filter(({ result }) => result === 'invalid')
      expect(invalid).toHaveLength(49)
      for (const test of invalid) expect([test.tcId, admit(curve, test.public)]).toEqual([test.tcId, undefined])
    })

    it('refuses an acceptable one or gets it right', () => {
      const acceptable = tests.filter(({ result }) => result === 'acceptable')
      expect(acceptable).toHaveLength(230)
      for (const test of acceptable) expect([test.shared, undefined]).toContain(multiply(test))
    })

    it('takes none of the DER or uncompressed forms for a point of the protocol', () => {
      for (const test of tests)
        for (const form of [bytes(test.public), bytes(test.public.slice(UNCOMPRESSED_SPKI.length))])
          if (form.length !== 33)
            expect(() => decodePoint(curve, form)).toThrow(expect.objectContaining({ code: 'bad-point' }))
    })
  })
})
