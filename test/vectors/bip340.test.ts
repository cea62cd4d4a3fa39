import { type Curve, decodePoint, Secret } from '@tkms/dkg'
import { bytesToHex } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { backends, bytes, describeVectors, readCsv } from '../support/vectors.ts'

/** BIP-340 keys are x coordinates; ours are points of either parity with that coordinate. */
function verifies(curve: Curve, x: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const encoded = Uint8Array.of(2, ...x)
  return curve.isPoint(encoded) && curve.verifyPossession(decodePoint(curve, encoded), message, signature)
}

describeVectors('BIP-340 signatures (proofs of possession)', () => {
  const rows = readCsv('bip340/test-vectors.csv')

  describe.each(backends)('on $backend', (curve) => {
    it.each(rows)('judges row $index $comment', (row) => {
      const verified = verifies(
        curve,
        bytes(row['public key'] ?? ''),
        bytes(row['message'] ?? ''),
        bytes(row['signature'] ?? ''),
      )
      expect(verified).toBe(row['verification result'] === 'TRUE')
    })

    it.each(rows.filter((row) => row['secret key'] !== ''))('signs row $index', (row) => {
      const key = new Secret(bytes(row['secret key'] ?? ''))
      const signature = curve.signPossession(key, bytes(row['message'] ?? ''), bytes(row['aux_rand'] ?? ''))
      expect(bytesToHex(signature)).toBe(row['signature']?.toLowerCase())
    })
  })

  it('has all 19 rows, 8 of them with a key', () => {
    expect(rows).toHaveLength(19)
    expect(rows.filter((row) => row['secret key'] !== '')).toHaveLength(8)
  })
})
