import { constants, generateKeyPairSync, publicEncrypt, randomBytes, sign, verify } from 'node:crypto'
import secp256k1 from 'secp256k1/bindings.js'

/**
 * The bare libsecp256k1 and OpenSSL operations that one complete single-item answer needs, and nothing else: no parsing, hashing,
 * policy or copies. The header proof and the proof's self-verification are two verifications; each is one base and three other
 * public multiplications with two additions. The partial is two secret multiplications of K (D, R2) and two of G (Y, R1).
 */
export function createFloor(): () => void {
  const scalar = randomBytes(32).fill(1, 0, 1)
  const point = secp256k1.publicKeyCreate(randomBytes(32).fill(1, 0, 1))
  const out = new Uint8Array(33)
  const full = (x: Uint8Array, y: Uint8Array): Uint8Array => {
    out[0] = 2 + ((y[31] ?? 0) & 1)
    out.set(x, 1)
    return out
  }
  const secretMultiply = (): Uint8Array => secp256k1.ecdh(point, scalar, { hashfn: full }, new Uint8Array(33))
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const padding = constants.RSA_PKCS1_OAEP_PADDING
  const content = randomBytes(99)
  const node = generateKeyPairSync('ed25519')
  const message = randomBytes(96)
  const signature = sign(null, message, node.privateKey)
  const verifyProof = (): void => {
    const base = secp256k1.publicKeyCreate(scalar)
    const terms = [0, 1, 2].map(() => secp256k1.publicKeyTweakMul(point, scalar))
    secp256k1.publicKeyCombine([base, terms[0] ?? base])
    secp256k1.publicKeyCombine([terms[1] ?? base, point])
  }
  return () => {
    verify(null, message, node.publicKey, signature)
    verifyProof()
    secretMultiply()
    secretMultiply()
    secp256k1.publicKeyCreate(scalar)
    secp256k1.publicKeyCreate(scalar)
    verifyProof()
    publicEncrypt({ key: rsa.publicKey, padding, oaepHash: 'sha256' }, content)
    sign(null, message, node.privateKey)
  }
}
