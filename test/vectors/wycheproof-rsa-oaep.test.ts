import { constants, createPrivateKey, privateDecrypt, webcrypto } from 'node:crypto'
import { bytesToHex } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { bytes, describeVectors, wycheproof } from '../support/vectors.ts'

interface OaepGroup {
  readonly privateKeyPkcs8: string
}

interface OaepTest {
  readonly tcId: number
  readonly msg: string
  readonly ct: string
  readonly label: string
  readonly result: 'valid' | 'invalid'
}

type GroupedTest = OaepTest & { readonly group: OaepGroup }
const owned = (hex: string): Uint8Array<ArrayBuffer> => Uint8Array.from(bytes(hex))

function openWithNode(test: GroupedTest): string {
  const key = createPrivateKey({ key: Buffer.from(test.group.privateKeyPkcs8, 'hex'), format: 'der', type: 'pkcs8' })
  const options = { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256', oaepLabel: bytes(test.label) }
  try {
    return bytesToHex(privateDecrypt(options, bytes(test.ct)))
  } catch {
    return 'refused'
  }
}

async function openWithWebCrypto(test: GroupedTest): Promise<string> {
  const algorithm = { name: 'RSA-OAEP', hash: 'SHA-256' }
  const key = await webcrypto.subtle.importKey('pkcs8', owned(test.group.privateKeyPkcs8), algorithm, false, [
    'decrypt',
  ])
  try {
    const parameters = { name: 'RSA-OAEP', label: owned(test.label) }
    return bytesToHex(new Uint8Array(await webcrypto.subtle.decrypt(parameters, key, owned(test.ct))))
  } catch {
    return 'refused'
  }
}

describeVectors('Wycheproof RSA-OAEP, SHA-256', () => {
  describe.each([2048, 4096])('%i bits', (bits) => {
    const tests = wycheproof<OaepGroup, OaepTest>(`rsa_oaep_${bits}_sha256_mgf1sha256_test.json`)
    const expected = ({ result, msg }: OaepTest): string => (result === 'valid' ? msg : 'refused')

    it('has 37 tests', () => expect(tests).toHaveLength(37))

    it('row 42: node:crypto opens the valid boxes and refuses the rest', () => {
      for (const test of tests) expect([test.tcId, openWithNode(test)]).toEqual([test.tcId, expected(test)])
    })

    it('row 42: WebCrypto opens the valid boxes and refuses the rest', async () => {
      for (const test of tests) expect([test.tcId, await openWithWebCrypto(test)]).toEqual([test.tcId, expected(test)])
    })
  })
})
