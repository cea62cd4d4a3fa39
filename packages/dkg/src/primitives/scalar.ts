import { schnorr } from '@noble/curves/secp256k1.js'
import { bytesToNumberBE, numberToBytesBE } from '@noble/curves/utils.js'
import { dkgError } from '../errors.ts'
import { Secret } from './secret.ts'

const { Fn } = schnorr.Point

/** N, the order of the secp256k1 group. */
export const ORDER: bigint = Fn.ORDER
export const SCALAR_BYTES = 32

/** value mod N, in 0..N-1. */
export function modOrder(value: bigint): bigint {
  const rest = value % ORDER
  return rest >= 0n ? rest : rest + ORDER
}

/**
 * 1 / value mod N.
 * @throws KmsError `bad-scalar` for 0
 */
export function invertScalar(value: bigint): bigint {
  const reduced = modOrder(value)
  if (reduced === 0n) throw dkgError('bad-scalar', 'zero has no inverse')
  return Fn.inv(reduced)
}

/**
 * Strict `S` (protocol 3): 32 bytes big-endian in 1..N-1; anything else is refused, never reduced.
 * @throws KmsError `bad-scalar`
 */
export function decodeScalar(bytes: Uint8Array): bigint {
  if (bytes.length !== SCALAR_BYTES) throw dkgError('bad-scalar', 'a scalar has 32 bytes')
  const value = bytesToNumberBE(bytes)
  if (value === 0n || value >= ORDER) throw dkgError('bad-scalar', 'a scalar lies in 1..N-1')
  return value
}

/** @param value 0..N-1 */
export function encodeScalar(value: bigint): Uint8Array {
  if (value < 0n || value >= ORDER) throw dkgError('bad-scalar', 'a scalar lies in 0..N-1')
  return numberToBytesBE(value, SCALAR_BYTES)
}

/** A 32-byte secret scalar in 1..N-1. */
export function secretScalar(value: bigint): Secret {
  if (value === 0n) throw dkgError('bad-scalar', 'a secret scalar lies in 1..N-1')
  return new Secret(encodeScalar(value))
}

/** The number behind a secret scalar, for arithmetic inside a ceremony's own process (protocol 5). */
export function openScalar(secret: Secret): bigint {
  return secret.use(decodeScalar)
}

const ORDER_BYTES = numberToBytesBE(ORDER, SCALAR_BYTES)

/** Whether 32 public bytes are a number below N. */
export function isBelowOrder(bytes: Uint8Array): boolean {
  const at = bytes.findIndex((byte, position) => byte !== ORDER_BYTES[position])
  return at >= 0 && (bytes[at] ?? 0) < (ORDER_BYTES[at] ?? 0)
}

/** Whether 32 secret bytes are a number in 1..N-1, found without a branch on any of them. */
export function isSecretScalar(bytes: Uint8Array): boolean {
  let any = 0
  let borrow = 0
  for (let at = SCALAR_BYTES - 1; at >= 0; at--) {
    const byte = bytes[at] ?? 0
    any |= byte
    // Negative, and its sign bit set, where this digit of N is larger than what is left of it.
    borrow = ((byte - (ORDER_BYTES[at] ?? 0) - borrow) >> 31) & 1
  }
  // No borrow at the end: N or more.
  return (borrow & ((any + 0xff) >> 8)) === 1
}

/** A public number of 32 bytes, 0..N-1. @throws KmsError `bad-scalar` */
export function publicScalar(bytes: Uint8Array): bigint {
  if (bytes.length !== SCALAR_BYTES || !isBelowOrder(bytes)) throw dkgError('bad-scalar', 'a factor lies in 0..N-1')
  return bytesToNumberBE(bytes)
}

/** Any 32 public bytes as a number mod N. @throws KmsError `bad-scalar` for another length */
export function scalarModOrder(bytes: Uint8Array): bigint {
  if (bytes.length !== SCALAR_BYTES) throw dkgError('bad-scalar', 'a scalar has 32 bytes')
  return modOrder(bytesToNumberBE(bytes))
}
