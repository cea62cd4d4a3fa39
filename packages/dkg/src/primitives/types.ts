/** Branded values: made only by the parsers of this folder, trusted everywhere behind them. */

declare const brand: unique symbol
type Brand<T, Name extends string> = T & { readonly [brand]: Name }

/** 33 bytes, compressed SEC1, x < p, on the curve, never the identity (protocol 3, `P`). */
export type PointBytes = Brand<Uint8Array, 'PointBytes'>

/** u16 in 1..65535, assigned in the roster, never reused in a cluster. 0 is the place of the secret. */
export type ParticipantIndex = Brand<number, 'ParticipantIndex'>

/** 32 bytes, names one cluster. */
export type ClusterId = Brand<Uint8Array, 'ClusterId'>

/** 32 bytes, names one key generation (protocol 4, R4). */
export type KeyId = Brand<Uint8Array, 'KeyId'>

/** 32 bytes, names one sharing of a key: the outcome hash o (protocol 4, R4). */
export type SharingId = Brand<Uint8Array, 'SharingId'>

/** 32 bytes, names one ceremony: the hash of X (protocol 3). */
export type CeremonyId = Brand<Uint8Array, 'CeremonyId'>

/** 32 bytes, an Ed25519 public key that is neither malformed nor of small order. */
export type NodePublicKey = Brand<Uint8Array, 'NodePublicKey'>
