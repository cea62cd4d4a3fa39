import { createDecipheriv } from 'node:crypto'
import { gcm } from '@noble/ciphers/aes.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { decryptGcm } from '../../packages/dkg/src/decrypt/aead.ts'
import { bytes, describeVectors, wycheproof } from '../support/vectors.ts'

interface AeadGroup {
  readonly ivSize: number
}

interface AeadTest {
  readonly tcId: number
  readonly key: string
  readonly iv: string
  readonly aad: string
  readonly msg: string
  readonly ct: string
  readonly tag: string
  readonly result: 'valid' | 'invalid'
}

interface HkdfTest {
  readonly tcId: number
  readonly ikm: string
  readonly salt: string
  readonly info: string
  readonly size: number
  readonly okm: string
  readonly result: 'valid' | 'invalid'
}

const opened = (open: () => Uint8Array): string => {
  try {
    return bytesToHex(open())
  } catch {
    return 'refused'
  }
}

function openWithNode({ key, iv, aad, ct, tag }: AeadTest): Uint8Array {
  const secret = bytes(key)
  const name = `aes-${secret.length * 8}-gcm` as 'aes-256-gcm'
  const decipher = createDecipheriv(name, secret, bytes(iv), { authTagLength: 16 })
  decipher.setAAD(bytes(aad))
  decipher.setAuthTag(bytes(tag))
  return concatBytes(decipher.update(bytes(ct)), decipher.final())
}

describeVectors('Wycheproof AES-GCM with a nonce of 96 bits', () => {
  const tests = wycheproof<AeadGroup, AeadTest>('aes_gcm_test.json').filter(({ group }) => group.ivSize === 96)
  const expected = (test: AeadTest): string => (test.result === 'valid' ? test.msg : 'refused')

  it('has 197 tests', () => expect(tests).toHaveLength(197))

  it('noble opens the valid and refuses the invalid', () => {
    for (const test of tests) {
      const cipher = gcm(bytes(test.key), bytes(test.iv), bytes(test.aad))
      expect([test.tcId, opened(() => cipher.decrypt(bytes(test.ct + test.tag)))]).toEqual([test.tcId, expected(test)])
    }
  })

  it('noble seals to the same bytes', () => {
    for (const test of tests.filter(({ result }) => result === 'valid')) {
      const cipher = gcm(bytes(test.key), bytes(test.iv), bytes(test.aad))
      expect([test.tcId, bytesToHex(cipher.encrypt(bytes(test.msg)))]).toEqual([test.tcId, test.ct + test.tag])
    }
  })

  it('the envelope code opens the valid and refuses the invalid under a key of 256 bits', () => {
    const ours = tests.filter(({ key }) => key.length === 64)
    expect(ours.length).toBeGreaterThan(50)
    for (const test of ours) {
      const input = {
        key: bytes(test.key),
        nonce: bytes(test.iv),
        aad: bytes(test.aad),
        ciphertext: bytes(test.ct + test.tag),
      }
      expect([test.tcId, opened(() => decryptGcm(input))]).toEqual([test.tcId, expected(test)])
    }
  })

  it('node:crypto, which seals the key store, agrees', () => {
    for (const test of tests) expect([test.tcId, opened(() => openWithNode(test))]).toEqual([test.tcId, expected(test)])
  })
})

describeVectors('Wycheproof HKDF-SHA-256', () => {
  const tests = wycheproof<object, HkdfTest>('hkdf_sha256_test.json')

  describe('noble', () => {
    it('has 86 tests', () => expect(tests).toHaveLength(86))

    it('derives the valid and refuses the over-long', () => {
      for (const test of tests) {
        const derive = () => hkdf(sha256, bytes(test.ikm), bytes(test.salt), bytes(test.info), test.size)
        expect([test.tcId, opened(derive)]).toEqual([test.tcId, test.result === 'valid' ? test.okm : 'refused'])
      }
    })
  })
})
