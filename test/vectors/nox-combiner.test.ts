import { bytesToHex } from '@noble/hashes/utils.js'
import { recoverEthereumAddress, typedDataDigest } from '@tkms/dkg'
import { responseProofTypedData } from '@tkms/kms-node/combiner'
import { expect, it } from 'vitest'
import { findRsaWeakness } from '../../packages/kms-node/src/serve/rsa-policy.ts'
import { spkiOfModulus } from '../support/hostile-requests.ts'
import { bytes, describeVectors, readJson } from '../support/vectors.ts'

interface DerivedVectors {
  readonly delegateResponseProof: {
    readonly domain: { readonly chainId: number; readonly salt: `0x${string}` }
    readonly digest: string
    readonly message: { readonly encryptedSharedSecret: string }
    readonly signer: string
    readonly signature: string
  }
  readonly rsaSpkiDerLengths: Readonly<Record<string, number>>
}

describeVectors('Nox answers', () => {
  const { delegateResponseProof, rsaSpkiDerLengths } = readJson<DerivedVectors>('nox/derived.json')

  it("the proof has upstream's digest and signer", () => {
    const { domain, message, digest, signature, signer } = delegateResponseProof
    const ours = typedDataDigest(responseProofTypedData({ ...domain, ...message }))
    expect(`0x${bytesToHex(ours)}`).toBe(digest)
    const recovered = recoverEthereumAddress(ours, bytes(signature)) ?? new Uint8Array(0)
    expect(`0x${bytesToHex(recovered)}`).toBe(signer.toLowerCase())
  })

  it.each(Object.entries(rsaSpkiDerLengths))(
    'an RSA key of %s bits is judged by its modulus, not by its encoding',
    (bits, length) => {
      const spki = spkiOfModulus(((1n << BigInt(bits)) - 1n).toString())
      expect(spki).toHaveLength(length)
      expect(findRsaWeakness(spki) === 'modulus-size').toBe(Number(bits) < 2048)
    },
  )
})
