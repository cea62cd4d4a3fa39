import { decodePoint, proveDleq, Secret, verifyDleq } from '@tkms/dkg'
import { bytesToHex } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { backends, bytes, describeVectors, readCsv } from '../support/vectors.ts'

describeVectors('BIP-374 discrete logarithm equality', () => {
  describe.each(backends)('on $backend', (curve) => {
    const point = (hex: string | undefined) => decodePoint(curve, hex?.startsWith('0') ? bytes(hex) : new Uint8Array(0))

    it.each(readCsv('bip374/test_vectors_generate_proof.csv'))('proves row $index: $comment', (row) => {
      const prove = () =>
        proveDleq(curve, {
          secret: new Secret(bytes(row['scalar_a'] ?? '')),
          B: point(row['point_B']),
          base: point(row['point_G']),
          aux: bytes(row['auxrand_r'] ?? ''),
          message: bytes(row['message'] ?? ''),
        })
      if (row['result_proof'] === 'INVALID')
        expect(prove).toThrow(expect.objectContaining({ code: expect.stringMatching(/^bad-(scalar|point)$/) }))
      else expect(bytesToHex(prove().proof)).toBe(row['result_proof'])
    })

    it.each(readCsv('bip374/test_vectors_verify_proof.csv'))('judges row $index: $comment', (row) => {
      const statement = {
        A: point(row['point_A']),
        B: point(row['point_B']),
        C: point(row['point_C']),
        base: point(row['point_G']),
        message: bytes(row['message'] ?? ''),
      }
      expect(verifyDleq(curve, statement, bytes(row['proof'] ?? ''))).toBe(row['result_success'] === 'TRUE')
    })
  })

  it('has all 26 rows', () => {
    expect(readCsv('bip374/test_vectors_generate_proof.csv')).toHaveLength(11)
    expect(readCsv('bip374/test_vectors_verify_proof.csv')).toHaveLength(15)
  })
})
