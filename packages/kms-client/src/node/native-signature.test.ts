import { ed25519 } from '@noble/curves/ed25519.js'
import { decodeNodePublicKey, Secret, type Statement, verifyEd25519 } from '@tkms/dkg'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createEd25519Signer } from '../signer.ts'
import { createNativeSigner, createNativeVerifier } from './native-signature.ts'

const verify = createNativeVerifier()
const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length })

it('agrees with the strict verifier, on good signatures and on changed ones', () => {
  fc.assert(
    fc.property(
      bytes(32),
      fc.uint8Array(),
      fc.nat(127),
      fc.constantFrom('none', 'signature', 'message'),
      (seed, message, bit, change) => {
        const publicKey = decodeNodePublicKey(ed25519.getPublicKey(seed))
        const signature = ed25519.sign(message, seed)
        if (change === 'signature') signature[bit >> 1] = (signature[bit >> 1] ?? 0) ^ (1 << (bit & 7))
        const said = change === 'message' ? Uint8Array.of(...message, 0) : message
        expect(verify(publicKey, said, signature)).toBe(change === 'none')
        expect(verifyEd25519(publicKey, said, signature)).toBe(change === 'none')
      },
    ),
    { numRuns: 60 },
  )
})

it('refuses a signature of another length', () => {
  const seed = new Uint8Array(32).fill(5)
  const publicKey = decodeNodePublicKey(ed25519.getPublicKey(seed))
  const signature = ed25519.sign(seed, seed)
  expect(verify(publicKey, seed, signature.subarray(0, 63))).toBe(false)
  expect(verify(publicKey, seed, Uint8Array.of(...signature, 0))).toBe(false)
})

it('verifies for more keys than it keeps', () => {
  for (let at = 0; at < 300; at++) {
    const seed = new Uint8Array(32).fill(at & 255)
    seed[0] = at >> 8
    expect(verify(decodeNodePublicKey(ed25519.getPublicKey(seed)), seed, ed25519.sign(seed, seed))).toBe(true)
  }
})

it('signs as the signer for every platform does', async () => {
  for (let at = 0; at < 8; at++) {
    const seed = new Uint8Array(32).fill(at)
    const statement = { message: new Uint8Array(at * 17).fill(at) } as Statement
    const native = createNativeSigner(Secret.copyOf(seed))
    const portable = createEd25519Signer(Secret.copyOf(seed))
    expect(native.publicKeyId).toBe(portable.publicKeyId)
    expect(await native.sign(statement)).toEqual(await portable.sign(statement))
  }
})

it('signs no more once the seed is destroyed, and takes no seed of another length', () => {
  const seed = Secret.copyOf(new Uint8Array(32).fill(9))
  const signer = createNativeSigner(seed)
  seed.destroy()
  expect(() => signer.sign({ message: Uint8Array.of(1) } as Statement)).toThrow(
    expect.objectContaining({ code: 'secret-destroyed' }),
  )
  expect(() => createNativeSigner(new Secret(new Uint8Array(31)))).toThrow(
    expect.objectContaining({ code: 'bad-argument' }),
  )
})
