import { createPrivateKey, type KeyObject } from 'node:crypto'
import { KmsError, Secret } from '@tkms/dkg'

const KEY_BYTES = 32
/** A PEM file of one key is far below this. */
export const MAX_KEY_FILE_BYTES: number = 16 * 1024

/**
 * Reads an existing secp256k1 private key, as a running single-key KMS has it: 64 hex digits (`0x` optional), 32 raw bytes, or PEM or DER
 * (SEC1 or PKCS#8, not encrypted). What is left of it in `bytes` is wiped.
 * @returns 32 bytes; that they lie in 1..N-1 is checked by whoever multiplies with them
 * @throws KmsError `bad-key-file`
 */
export function parseImportedKey(bytes: Uint8Array): Secret {
  try {
    return new Secret(parseRaw(bytes) ?? parseHex(bytes) ?? parseKeyObject(bytes))
  } finally {
    bytes.fill(0)
  }
}

const refuse = (problem: string): never => {
  throw new KmsError('bad-key-file', problem)
}

const isHexDigit = (byte: number): boolean =>
  (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66)
const isSpace = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)

function parseRaw(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length !== KEY_BYTES) return undefined
  return bytes.every(isHexDigit) ? refuse('32 hex digits are half a key') : Uint8Array.from(bytes)
}

/** Digit by digit: a string of the key could never be wiped. */
function parseHex(bytes: Uint8Array): Uint8Array | undefined {
  const text = bytes.subarray(bytes.findIndex((byte) => !isSpace(byte)))
  const digits = text[0] === 0x30 && (text[1] === 0x78 || text[1] === 0x58) ? text.subarray(2) : text
  const end = digits.findLastIndex((byte) => !isSpace(byte)) + 1
  if (end !== 2 * KEY_BYTES || !digits.subarray(0, end).every(isHexDigit)) return undefined
  return Uint8Array.from({ length: KEY_BYTES }, (_, at) => 16 * digitAt(digits, 2 * at) + digitAt(digits, 2 * at + 1))
}

const digitAt = (digits: Uint8Array, at: number): number => {
  const byte = digits[at] ?? 0
  return byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x61 + 10
}

/** SEC1 of one key: SEQUENCE { INTEGER 1, OCTET STRING (32) ... }. */
const SEC1_HEAD = Uint8Array.of(2, 1, 1, 4, KEY_BYTES)

function parseKeyObject(bytes: Uint8Array): Uint8Array {
  const key = readKeyObject(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
  if (key?.asymmetricKeyDetails?.namedCurve !== 'secp256k1')
    return refuse(
      'not a secp256k1 private key: give 64 hex digits, 32 raw bytes, or PEM or DER (SEC1 or PKCS#8) without a passphrase',
    )
  const der = key.export({ format: 'der', type: 'sec1' })
  try {
    const at = der.indexOf(SEC1_HEAD)
    if (at < 0 || at > 4) return refuse('this key has an unusual encoding')
    return Uint8Array.from(der.subarray(at + SEC1_HEAD.length, at + SEC1_HEAD.length + KEY_BYTES))
  } finally {
    der.fill(0)
  }
}

function readKeyObject(key: Buffer): KeyObject | undefined {
  const pem = key.indexOf('-----BEGIN') >= 0
  const tries = pem
    ? [() => createPrivateKey({ key, format: 'pem' })]
    : (['sec1', 'pkcs8'] as const).map((type) => () => createPrivateKey({ key, format: 'der', type }))
  for (const read of tries)
    try {
      return read()
    } catch {
      // Another format, or no key: the caller names the formats that are taken.
    }
  return undefined
}
