import { Secret, verifyAuthorization, verifyEd25519 } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { createEd25519Signer } from './signer.ts'

describe('createEd25519Signer', () => {
  it('signs what a node verifies under its public key id', async () => {
    const signer = createEd25519Signer(new Secret(new Uint8Array(32).fill(1)))
    const { publicKeyId } = signer
    const payload = Uint8Array.of(1, 2, 3)
    const signature = await signer.sign(payload)
    expect(publicKeyId).toMatch(/^ed25519:[0-9a-f]{64}$/)
    expect(verifyAuthorization(verifyEd25519, { payload, signature, publicKeyId })).toBe(true)
    expect(verifyAuthorization(verifyEd25519, { payload: Uint8Array.of(1), signature, publicKeyId })).toBe(false)
  })

  it('refuses a seed of another length, and ends with its seed', () => {
    expect(() => createEd25519Signer(new Secret(new Uint8Array(31)))).toThrow('32 bytes')
    const seed = new Secret(new Uint8Array(32).fill(1))
    const signer = createEd25519Signer(seed)
    seed.destroy()
    expect(() => signer.sign(new Uint8Array(1))).toThrow('wiped')
  })
})
