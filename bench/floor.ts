import {
  constants,
  createCipheriv,
  createDecipheriv,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  sign,
  verify,
} from 'node:crypto'
import secp256k1 from 'secp256k1/bindings.js'

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length))
const randomScalar = (): Uint8Array => random(32).fill(1, 0, 1)
const randomPoint = (): Uint8Array => secp256k1.publicKeyCreate(randomScalar())

/** x and y of a product as a point of 33 bytes. */
const compressed = new Uint8Array(33)
const compress = (x: Uint8Array, y: Uint8Array): Uint8Array => {
  compressed[0] = 2 + ((y[31] ?? 0) & 1)
  compressed.set(x, 1)
  return compressed
}

/** k * P without a branch on k: 33 bytes. */
export const secretMultiply = (point: Uint8Array, scalar: Uint8Array): Uint8Array =>
  secp256k1.ecdh(point, scalar, { hashfn: compress }, new Uint8Array(33))

const padding = constants.RSA_PKCS1_OAEP_PADDING
export const wrap = (key: KeyObject, content: Uint8Array): Uint8Array =>
  publicEncrypt({ key, padding, oaepHash: 'sha256' }, content)

/** AES-256-GCM. */
export function seal(key: Uint8Array, content: Uint8Array): void {
  const cipher = createCipheriv('aes-256-gcm', key, new Uint8Array(12))
  cipher.update(content)
  cipher.final()
  cipher.getAuthTag()
}

/**
 * The bare libsecp256k1 and OpenSSL operations that one complete answer needs, each in the cheapest form the libraries have, and
 * nothing else: no parsing, hashing, policy, record or copies.
 *
 * For every item: K and Kbar decoded; two proofs verified (the header's and the node's own before it leaves), each two combinations
 * of two points, one of them with G, which ECDSA's recovery computes at once; D and R2 multiplied in constant time by share and nonce,
 * R1 = nonce * G; the proof's response. Y is the certificate's. For every answer: the request's signature, one RSA block (behind it, for a
 * batch, AES-GCM), the answer's signature.
 * @returns does the operations for an answer of so many items
 */
export function createFloor(): (items: number) => void {
  const scalar = randomScalar()
  const K = randomPoint()
  const Kbar = randomPoint()
  const full = secp256k1.publicKeyConvert(K, false)
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const single = random(99)
  const boxKey = random(32)
  const node = generateKeyPairSync('ed25519')
  const message = random(44)
  const signature = sign(null, message, node.privateKey)

  const verifyProof = createProofCheck()
  const doItem = (): void => {
    secp256k1.publicKeyConvert(K, false)
    secp256k1.publicKeyConvert(Kbar, false)
    verifyProof()
    secretMultiply(full, scalar)
    secretMultiply(full, scalar)
    secp256k1.publicKeyCreate(scalar)
    const response = Uint8Array.from(scalar)
    secp256k1.privateKeyTweakMul(response, scalar)
    secp256k1.privateKeyTweakAdd(response, scalar)
    verifyProof()
  }

  return (items) => {
    verify(null, message, node.publicKey, signature)
    for (let n = 0; n < items; n++) doItem()
    if (items === 1) wrap(rsa.publicKey, single)
    else {
      wrap(rsa.publicKey, boxKey)
      seal(boxKey, random(4 + items * 98))
    }
    sign(null, message, node.privateKey)
  }
}

/** Two combinations of two points, one of them with G. */
function createProofCheck(): () => void {
  const scalar = randomScalar()
  const K = randomPoint()
  const full = secp256k1.publicKeyConvert(K, false)
  const combination = Uint8Array.from([...K.subarray(1), ...randomScalar()])
  return () => {
    secp256k1.ecdsaRecover(combination, (K[0] ?? 0) - 2, scalar)
    secp256k1.publicKeyCombine([
      secp256k1.publicKeyTweakMul(full, scalar, false),
      secp256k1.publicKeyTweakMul(full, scalar, false),
    ])
  }
}

/**
 * The bare operations of a client that opens one envelope with t answers: K and Kbar decoded and the header's proof verified, the request
 * signed; of every answer its RSA block opened, its signature verified, its point decoded and multiplied by the Lagrange coefficient; the
 * products added, the envelope opened.
 * @returns does them once
 */
export function createClientFloor(t: number): () => void {
  const scalar = randomScalar()
  const points = Array.from({ length: t }, randomPoint)
  const products = points.map((point) => secp256k1.publicKeyConvert(point, false))
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const block = wrap(rsa.publicKey, random(99))
  const requester = generateKeyPairSync('ed25519')
  const message = random(44)
  const signature = sign(null, message, requester.privateKey)
  const key = random(32)
  const cipher = createCipheriv('aes-256-gcm', key, new Uint8Array(12))
  const ciphertext = cipher.update(random(64))
  cipher.final()
  const tag = cipher.getAuthTag()
  const verifyProof = createProofCheck()
  return () => {
    for (let n = 0; n < 2; n++) secp256k1.publicKeyConvert(points[0] ?? scalar, false)
    verifyProof()
    sign(null, message, requester.privateKey)
    for (const point of points) {
      privateDecrypt({ key: rsa.privateKey, padding, oaepHash: 'sha256' }, block)
      verify(null, message, requester.publicKey, signature)
      secp256k1.publicKeyTweakMul(secp256k1.publicKeyConvert(point, false), scalar, false)
    }
    secp256k1.publicKeyCombine(products, false)
    const decipher = createDecipheriv('aes-256-gcm', key, new Uint8Array(12))
    decipher.setAuthTag(tag)
    decipher.update(ciphertext)
    decipher.final()
  }
}
