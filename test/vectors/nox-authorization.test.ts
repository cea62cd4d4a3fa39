import { bytesToHex } from '@noble/hashes/utils.js'
import { noxDataAccessTypedData, noxDelegateTypedData, recoverEthereumAddress, typedDataDigest } from '@tkms/dkg'
import { expect, it } from 'vitest'
import { bytes, describeVectors, readJson } from '../support/vectors.ts'

interface SignedVector<Message> {
  readonly domain: { readonly chainId: number; readonly verifyingContract: string }
  readonly digest: string
  readonly message: Message
  readonly signer: string
  readonly signature: string
}
interface DerivedVectors {
  readonly delegateAuthorization: SignedVector<{ readonly ephemeralPubKey: string; readonly targetPubKey: string }>
  readonly dataAccessAuthorization: SignedVector<{
    readonly userAddress: string
    readonly encryptionPubKey: string
    readonly notBefore: number
    readonly expiresAt: number
  }>
}

const hex = (value: Uint8Array | undefined): string => `0x${bytesToHex(value ?? new Uint8Array(0))}`

describeVectors('Nox authorizations', () => {
  const { delegateAuthorization, dataAccessAuthorization } = readJson<DerivedVectors>('nox/derived.json')

  it("the gateway's has upstream's digest and signer", () => {
    const { domain, message, digest, signature, signer } = delegateAuthorization
    const ours = typedDataDigest(noxDelegateTypedData({ ...message, chainId: domain.chainId }))
    expect(hex(ours)).toBe(digest)
    expect(hex(recoverEthereumAddress(ours, bytes(signature)))).toBe(signer.toLowerCase())
  })

  it("the user's has upstream's digest and signer", () => {
    const { domain, message, digest, signature, signer } = dataAccessAuthorization
    const contract = { chainId: domain.chainId, contract: domain.verifyingContract }
    const ours = typedDataDigest(noxDataAccessTypedData({ ...message, address: bytes(message.userAddress) }, contract))
    expect(hex(ours)).toBe(digest)
    expect(hex(recoverEthereumAddress(ours, bytes(signature)))).toBe(signer.toLowerCase())
  })
})
