import { secp256k1_hasher } from '@noble/curves/secp256k1.js'
import type { PointBytes } from './types.ts'

/**
 * RFC 9380 secp256k1_XMD:SHA-256_SSWU_RO_ under `dst` (ASCII): where points without a known logarithm come from. A module of its own, since
 * what runs in production knows its one such point (`SECOND_GENERATOR`) as a constant.
 */
export const hashToCurve = (message: Uint8Array, dst: string): PointBytes =>
  secp256k1_hasher.hashToCurve(message, { DST: dst }).toBytes(true) as PointBytes
