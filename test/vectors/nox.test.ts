import { constants, createPrivateKey, privateDecrypt } from 'node:crypto'
import {
  combinePartials,
  commit,
  createPartial,
  decodePoint,
  lagrangeCoefficients,
  openEnvelopeV1,
  participantIndex,
  type PointBytes,
  sealEnvelopeV1,
  Secret,
  sharedX,
  verificationShare,
  verifyPartial,
} from '@tkms/dkg'
import { bytesToHex } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { backends, bytes, describeVectors, number, readJson } from '../support/vectors.ts'

interface DerivedVectors {
  readonly ecies: Readonly<
    Record<
      | 'kmsPrivateKey'
      | 'kmsPublicKey'
      | 'ephemeralScalar'
      | 'ephemeralPubKey'
      | 'sharedPointCompressed'
      | 'sharedSecretX'
      | 'iv'
      | 'plaintext'
      | 'ciphertext',
      string
    >
  >
  readonly threshold: {
    readonly coefficients: readonly string[]
    readonly feldmanCommitments: readonly string[]
    readonly nodes: readonly {
      readonly index: number
      readonly share: string
      readonly publicShare: string
      readonly partial: string
    }[]
    readonly subsets: readonly { readonly indices: readonly number[]; readonly lambda: readonly string[] }[]
    readonly expectedSharedPoint: string
  }
}

interface SealedValue {
  readonly encryptedSharedSecret: string
  readonly iv: string
  readonly ciphertext: string
  readonly plaintext: string
  readonly sharedSecretX: string
}

interface SdkVectors {
  readonly ecies: Readonly<Record<'ciphertext' | 'iv' | 'sharedSecret' | 'plaintext', string>>
  readonly rsaOaep: Readonly<Record<'pkcs8PrivateKey' | 'ciphertext' | 'plaintext', string>>
  readonly testRsa: Readonly<Record<'pkcs8PrivateKey', string>>
  readonly decryptByType: Readonly<Record<string, SealedValue>>
}

const hex = (value: Uint8Array): string => `0x${bytesToHex(value)}`
const handle = new Uint8Array(32)
const aux = new Uint8Array(32).fill(7)

function openOaep(pkcs8: string, box: string): string {
  const key = createPrivateKey({ key: Buffer.from(bytes(pkcs8)), format: 'der', type: 'pkcs8' })
  return hex(privateDecrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, bytes(box)))
}

describeVectors('Nox ECIES:AES_GCM:v1', () => {
  const { ecies } = readJson<DerivedVectors>('nox/derived.json')
  const sdk = readJson<SdkVectors>('nox/handle-sdk.json')

  describe.each(backends)('on $backend', (curve) => {
    const point = (encoded: string): PointBytes => decodePoint(curve, bytes(encoded))
    /** The fixtures give x alone; either point with that coordinate opens the envelope. */
    const pointOfX = (x: string): PointBytes => decodePoint(curve, Uint8Array.of(2, ...bytes(x)))
    const open = (D: PointBytes, sealed: { readonly iv: string; readonly ciphertext: string }): string =>
      hex(
        openEnvelopeV1(
          curve,
          { version: 1, handle, K: curve.generator, nonce: bytes(sealed.iv), ciphertext: bytes(sealed.ciphertext) },
          D,
        ),
      )

    it('seals to the same bytes', () => {
      const sealed = sealEnvelopeV1(curve, {
        groupKey: point(ecies.kmsPublicKey),
        plaintext: bytes(ecies.plaintext),
        handle,
        k: new Secret(bytes(ecies.ephemeralScalar)),
        nonce: bytes(ecies.iv),
      })
      expect(hex(sealed.K)).toBe(ecies.ephemeralPubKey)
      expect(hex(sealed.ciphertext)).toBe(ecies.ciphertext)
    })

    it('opens with the key that the whole secret gives', () => {
      const D = curve.mulSecret(point(ecies.ephemeralPubKey), new Secret(bytes(ecies.kmsPrivateKey)))
      expect(hex(D)).toBe(ecies.sharedPointCompressed)
      expect(hex(sharedX(D))).toBe(ecies.sharedSecretX)
      expect(open(D, ecies)).toBe(ecies.plaintext)
    })

    it.each(Object.entries(sdk.decryptByType))('opens the SDK fixture for %s', (_type, value) => {
      expect(openOaep(sdk.testRsa.pkcs8PrivateKey, value.encryptedSharedSecret)).toBe(value.sharedSecretX)
      expect(open(pointOfX(value.sharedSecretX), value)).toBe(value.plaintext)
    })

    it('opens the SDK fixture of the ECIES unit test', () => {
      expect(open(pointOfX(sdk.ecies.sharedSecret), sdk.ecies)).toBe(sdk.ecies.plaintext)
    })
  })

  it('opens the RSA-OAEP box of the SDK', () => {
    expect(openOaep(sdk.rsaOaep.pkcs8PrivateKey, sdk.rsaOaep.ciphertext)).toBe(sdk.rsaOaep.plaintext)
  })
})

describeVectors('Nox combination, 3 of 5', () => {
  const { ecies, threshold } = readJson<DerivedVectors>('nox/derived.json')

  describe.each(backends)('on $backend', (curve) => {
    const K = decodePoint(curve, bytes(ecies.ephemeralPubKey))
    const commitment = commit(curve, threshold.coefficients.map(number))
    const ctx = new Uint8Array(137).fill(1)

    it('commits to the same points', () => {
      expect(commitment.map(hex)).toEqual(threshold.feldmanCommitments)
    })

    it.each(threshold.nodes)('node $index: verification share, partial decryption, proof', (node) => {
      const partial = createPartial(curve, { share: new Secret(bytes(node.share)), K, ctx, aux })
      expect(hex(partial.D)).toBe(node.partial)
      const share = verificationShare(curve, commitment, participantIndex(node.index))
      expect(hex(share)).toBe(node.publicShare)
      expect(verifyPartial(curve, { ...partial, verificationShare: share, K, ctx })).toBe(true)
    })

    it.each(threshold.subsets)('combines nodes $indices', ({ indices, lambda }) => {
      const factors = lagrangeCoefficients(indices.map(participantIndex))
      expect(factors).toEqual(lambda.map(number))
      const partials = indices.map((index) => ({
        index: participantIndex(index),
        D: decodePoint(curve, bytes(threshold.nodes.find((node) => node.index === index)?.partial ?? '')),
      }))
      expect(hex(combinePartials(curve, partials))).toBe(threshold.expectedSharedPoint)
    })
  })
})
