import { type NodePublicKey, verifyEd25519 } from '@tkms/dkg'
import { expect, it } from 'vitest'
import { bytes, describeVectors, wycheproof } from '../support/vectors.ts'

interface SignatureGroup {
  readonly publicKey: { readonly pk: string }
}

interface SignatureTest {
  readonly tcId: number
  readonly msg: string
  readonly sig: string
  readonly result: 'valid' | 'invalid'
}

describeVectors('Wycheproof Ed25519', () => {
  const tests = wycheproof<SignatureGroup, SignatureTest>('ed25519_test.json')

  it('has 151 tests', () => expect(tests).toHaveLength(151))

  it('the one verifier accepts the valid and refuses malleable, non-canonical and wrong signatures', () => {
    for (const test of tests) {
      const key = bytes(test.group.publicKey.pk) as NodePublicKey
      const verified = verifyEd25519(key, bytes(test.msg), bytes(test.sig))
      expect([test.tcId, verified]).toEqual([test.tcId, test.result === 'valid'])
    }
  })
})
