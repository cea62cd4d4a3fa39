/**
 * The part of `secp256k1` 5 that this package uses. `bindings.js` is the native library alone: the package's main entry could fall
 * back to pure JavaScript (CVE-2024-48930), so it is never imported. `@types/secp256k1` describes version 4 and lacks this entry.
 * All functions throw a plain `Error` on bad input. Points are read with 33 or 65 bytes and written with 33 unless `compressed` is
 * false; scalars are 32 bytes, big-endian.
 */
declare module 'secp256k1/bindings.js' {
  interface EcdhOptions {
    /** Gets both coordinates of the product, 32 bytes each; its result becomes the output. */
    readonly hashfn: (x: Uint8Array, y: Uint8Array) => Uint8Array
    /** The arrays that it gets, 32 bytes each; fresh ones where absent. */
    readonly xbuf?: Uint8Array
    readonly ybuf?: Uint8Array
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
    /** The point in its other form. */
    publicKeyConvert(pubkey: Uint8Array, compressed?: boolean, output?: Uint8Array): Uint8Array
    /** seckey * G, constant time. */
    publicKeyCreate(seckey: Uint8Array, compressed?: boolean, output?: Uint8Array): Uint8Array
    /** Throws when the sum is the identity. */
    publicKeyCombine(pubkeys: readonly Uint8Array[], compressed?: boolean, output?: Uint8Array): Uint8Array
    /** tweak * pubkey, variable time; tweak in 1..N-1. */
    publicKeyTweakMul(pubkey: Uint8Array, tweak: Uint8Array, compressed?: boolean, output?: Uint8Array): Uint8Array
    /**
     * The key under which a signature is valid: (s * R - msg32 * G) / r for sig = r || s, with R the point of x coordinate r and of
     * y parity `recid` (+ 2: of x coordinate r + N). Variable time. Throws when r or s is 0 or >= N, R is no point, or the key is the identity.
     */
    ecdsaRecover(
      sig: Uint8Array,
      recid: number,
      msg32: Uint8Array,
      compressed?: boolean,
      output?: Uint8Array,
    ): Uint8Array
    /** seckey * pubkey, constant time. `output` has the length that `hashfn` returns. */
    ecdh(pubkey: Uint8Array, seckey: Uint8Array, options: EcdhOptions, output: Uint8Array): Uint8Array
  }

  const bindings: Bindings
  export default bindings
}
