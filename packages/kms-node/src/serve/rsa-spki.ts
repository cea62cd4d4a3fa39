/** The two integers of an RSA public key. */
export interface RsaPublicNumbers {
  readonly modulus: bigint
  readonly exponent: bigint
}

const SEQUENCE = 0x30
const INTEGER = 0x02
const BIT_STRING = 0x03
/** SEQUENCE { OBJECT IDENTIFIER 1.2.840.113549.1.1.1 rsaEncryption, NULL } (RFC 8017, appendix A.1). */
const RSA_ALGORITHM = Uint8Array.of(0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0)

/**
 * Reads a SubjectPublicKeyInfo of an RSA key (RFC 5280, 4.1), strict DER: shortest lengths and integers, NULL parameters, nothing behind it.
 * @returns undefined for anything else
 */
export function parseRsaSpki(spki: Uint8Array): RsaPublicNumbers | undefined {
  const outer = readElement(spki, SEQUENCE)
  if (outer === undefined || outer.rest.length !== 0) return undefined
  const { content } = outer
  if (!RSA_ALGORITHM.every((byte, at) => content[at] === byte)) return undefined
  const bits = readElement(content.subarray(RSA_ALGORITHM.length), BIT_STRING)
  if (bits === undefined || bits.rest.length !== 0 || bits.content[0] !== 0) return undefined
  const key = readElement(bits.content.subarray(1), SEQUENCE)
  if (key === undefined || key.rest.length !== 0) return undefined
  const modulus = readElement(key.content, INTEGER)
  const exponent = modulus && readElement(modulus.rest, INTEGER)
  if (modulus === undefined || exponent === undefined || exponent.rest.length !== 0) return undefined
  const n = positive(modulus.content)
  const e = positive(exponent.content)
  return n === undefined || e === undefined ? undefined : { modulus: n, exponent: e }
}

interface Element {
  readonly content: Uint8Array
  readonly rest: Uint8Array
}

function readElement(bytes: Uint8Array, tag: number): Element | undefined {
  const first = bytes[1]
  if (bytes[0] !== tag || first === undefined) return undefined
  const lengthBytes = first < 0x80 ? 0 : first - 0x80
  if (lengthBytes > 2 || first === 0x80 || bytes.length < 2 + lengthBytes) return undefined
  const length =
    lengthBytes === 0 ? first : bytes.subarray(2, 2 + lengthBytes).reduce((sum, byte) => sum * 256 + byte, 0)
  const shortest = lengthBytes === 0 || (lengthBytes === 1 ? length >= 0x80 : length >= 0x100)
  const end = 2 + lengthBytes + length
  if (!shortest || end > bytes.length) return undefined
  return { content: bytes.subarray(2 + lengthBytes, end), rest: bytes.subarray(end) }
}

function positive(bytes: Uint8Array): bigint | undefined {
  const [first, second] = bytes
  if (first === undefined || first >= 0x80) return undefined
  if (first === 0 && (second === undefined || second < 0x80)) return undefined
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
}
