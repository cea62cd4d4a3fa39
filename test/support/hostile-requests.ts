import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { type Authorization, encodeHeader, type RequestItem, requestSignedBytes, u32 } from '@tkms/dkg'
import type { RequestSigner } from '@tkms/kms-client'

/** Requests that are signed as they should be and hostile inside. */

const prefixed = (prefix: number, x: Uint8Array): Uint8Array => Uint8Array.of(prefix, ...x)
const isOnCurve = (x: Uint8Array): boolean => {
  try {
    return secp256k1.Point.fromBytes(prefixed(2, x)).x > 0n
  } catch {
    // noble says no by an exception.
    return false
  }
}
const coordinate = (value: bigint): Uint8Array => Buffer.from(value.toString(16).padStart(64, '0'), 'hex')
const smallest = (from: bigint, wanted: (value: bigint) => boolean): bigint =>
  wanted(from) ? from : smallest(from + 1n, wanted)
const P = 2n ** 256n - 2n ** 32n - 977n

/** x of a point of the quadratic twist y^2 = d * (x^3 + 7): no point of the curve has it. */
const twistX = coordinate(smallest(1n, (x) => !isOnCurve(coordinate(x))))
/** p + x for a small x that is on the curve: the same point, were it reduced. */
const unreducedX = coordinate(P + smallest(1n, (x) => isOnCurve(coordinate(x))))

/** What is put where K stands, made from the honest K. */
export const BAD_POINTS: readonly (readonly [string, (K: Uint8Array) => Uint8Array])[] = [
  ['the identity as 33 zero bytes', () => new Uint8Array(33)],
  ['the identity as one zero byte', () => new Uint8Array(1)],
  ['a point of the twist', () => prefixed(2, twistX)],
  ['x = p', () => prefixed(2, coordinate(P))],
  ['x >= p of a valid point', () => prefixed(3, unreducedX)],
  ['hybrid prefix 06 on 33 bytes', (K) => prefixed(6, K.subarray(1))],
  ['hybrid prefix 07 on 33 bytes', (K) => prefixed(7, K.subarray(1))],
  ['prefix 04 on 33 bytes', (K) => prefixed(4, K.subarray(1))],
  ['65 bytes, uncompressed', (K) => secp256k1.Point.fromBytes(K).toBytes(false)],
  ['65 bytes, hybrid 06', (K) => secp256k1.Point.fromBytes(K).toBytes(false).fill(6, 0, 1)],
  ['65 bytes off the curve', (K) => secp256k1.Point.fromBytes(K).toBytes(false).fill(1, 64)],
  ['32 bytes', (K) => K.subarray(1)],
  ['34 bytes', (K) => Uint8Array.of(...K, 0)],
  ['no bytes', () => new Uint8Array(0)],
]

function replaceOnce(bytes: Uint8Array, old: Uint8Array, replacement: Uint8Array): Uint8Array {
  const at = Buffer.from(bytes).indexOf(old)
  if (at < 0) throw new Error('the request does not hold what is to be replaced')
  return Buffer.concat([bytes.subarray(0, at), replacement, bytes.subarray(at + old.length)])
}

/** The payload with another K in its one item; a v2 header keeps a length that fits. */
export function withPoint(payload: Uint8Array, item: RequestItem, change: (K: Uint8Array) => Uint8Array): Uint8Array {
  if (item.version === 1) return replaceOnce(payload, item.K, change(item.K))
  const header = encodeHeader(item.header)
  const changed = replaceOnce(header, item.header.K, change(item.header.K))
  return replaceOnce(
    payload,
    Buffer.concat([u32(header.length), header]),
    Buffer.concat([u32(changed.length), changed]),
  )
}

const NOT_FOR_WALLETS = { domain: { name: '', version: '' }, types: {}, primaryType: '', message: {} }

/** Signed as the requester signs: only the content is bad. */
export const authorizeBytes = async (signer: RequestSigner, payload: Uint8Array): Promise<Authorization> => ({
  payload,
  signature: await signer.sign({ message: requestSignedBytes(payload), typedData: NOT_FOR_WALLETS }),
  publicKeyId: signer.publicKeyId,
})

const spkiOf = (modulus: Uint8Array, exponent = Uint8Array.of(1, 0, 1)): Uint8Array =>
  createPublicKey({
    key: { kty: 'RSA', n: Buffer.from(modulus).toString('base64url'), e: Buffer.from(exponent).toString('base64url') },
    format: 'jwk',
  }).export({ type: 'spki', format: 'der' })

const realSpki = (modulusLength: number, publicExponent = 65_537): Uint8Array =>
  generateKeyPairSync('rsa', { modulusLength, publicExponent }).publicKey.export({ type: 'spki', format: 'der' })

/** A public key with this modulus, decimal. */
export const spkiOfModulus = (decimal: string): Uint8Array => spkiOf(Buffer.from(BigInt(decimal).toString(16), 'hex'))

const evenModulus = (): Uint8Array => {
  const { n = '' } = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' })
  const modulus = Buffer.from(n, 'base64url')
  modulus[255] = (modulus[255] ?? 0) & 0xfe
  return modulus
}

export const WEAK_RSA_KEYS: readonly (readonly [string, () => Uint8Array])[] = [
  ['1024 bits', () => realSpki(1024)],
  ['1792 bits', () => realSpki(1792)],
  ['2047 bits', () => realSpki(2047)],
  ['exponent 3', () => realSpki(2048, 3)],
  ['an even modulus', () => spkiOf(evenModulus())],
]
