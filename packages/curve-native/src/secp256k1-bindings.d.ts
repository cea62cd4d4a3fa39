/**
 * The part of `secp256k1` 5 that this package uses. `bindings.js` is the native library alone: the package's main entry could fall
 * back to pure JavaScript (CVE-2024-48930), so it is never imported. `@types/secp256k1` describes version 4 and lacks this entry.
 * All functions throw a plain `Error` on bad input; arrays are 33-byte compressed points and 32-byte big-endian scalars.
 */
declare module 'secp256k1/bindings.js' {
  interface EcdhOptions {
    /** Gets both coordinates of the product, 32 bytes each; its result becomes the output. */
    readonly hashfn: (x: Uint8Array, y: Uint8Array) => Uint8Array
  }

  interface Bindings {
    /** 1 <= seckey < N. */
    privateKeyVerify(seckey: Uint8Array): boolean
    /** seckey + tweak mod N, in place. Throws when the sum is 0; both in 1..N-1. */
    privateKeyTweakAdd(seckey: Uint8Array, tweak: Uint8Array): Uint8Array
    /** seckey * tweak mod N, in place; both in 1..N-1. */
    privateKeyTweakMul(seckey: Uint8Array, tweak: Uint8Array): Uint8Array
    /** N - seckey, in place. */
    privateKeyNegate(seckey: Uint8Array): Uint8Array
    publicKeyVerify(pubkey: Uint8Array): boolean
    /** seckey * G, constant time. */
    publicKeyCreate(seckey: Uint8Array, compressed?: boolean, output?: Uint8Array): Uint8Array
    /** Throws when the sum is the identity. */
    publicKeyCombine(pubkeys: readonly Uint8Array[], compressed?: boolean, output?: Uint8Array): Uint8Array
    /** tweak * pubkey, variable time; tweak in 1..N-1. */
    publicKeyTweakMul(pubkey: Uint8Array, tweak: Uint8Array, compressed?: boolean, output?: Uint8Array): Uint8Array
    /** seckey * pubkey, constant time. `output` has the length that `hashfn` returns. */
    ecdh(pubkey: Uint8Array, seckey: Uint8Array, options: EcdhOptions, output: Uint8Array): Uint8Array
  }

  const bindings: Bindings
  export default bindings
}
