import {
  CapsuleFrag,
  decryptReencrypted,
  encrypt,
  generateKFrags,
  initialize,
  reencrypt,
  SecretKey,
  Signer,
} from '@nucypher/nucypher-core'

/** Umbral's threshold proxy re-encryption on secp256k1, Rust compiled to WebAssembly. */
export interface Umbral {
  /** A proxy's work: one capsule fragment with its proof. */
  readonly reencrypt: () => void
  /** The receiver's: opens with t fragments whose proofs were verified before. @returns the plaintext */
  decryptVerified(): Uint8Array
  /** The receiver's, from the bytes it gets: reads t fragments, verifies their proofs, opens. @returns the plaintext */
  decryptReceived(): Uint8Array
}

export async function createUmbral(input: {
  readonly n: number
  readonly t: number
  readonly plaintext: Uint8Array
}): Promise<Umbral> {
  await initialize()
  const delegating = SecretKey.random()
  const receiving = SecretKey.random()
  const signer = new Signer(SecretKey.random())
  const [capsule, ciphertext] = encrypt(delegating.publicKey(), input.plaintext)
  const kfrags = generateKFrags(delegating, receiving.publicKey(), signer, input.t, input.n, true, true)
  const [kfrag] = kfrags
  if (kfrag === undefined) throw new Error('n key fragments were made')
  const received = kfrags.slice(0, input.t).map((each) => reencrypt(capsule, each).toBytes())
  const keys = [signer.verifyingKey(), delegating.publicKey(), receiving.publicKey()] as const
  const verify = (): ReturnType<CapsuleFrag['verify']>[] =>
    received.map((bytes) => CapsuleFrag.fromBytes(bytes).verify(capsule, ...keys))
  const verified = verify()
  const open = (cfrags: ReturnType<typeof verify>): Uint8Array =>
    decryptReencrypted(receiving, delegating.publicKey(), capsule, cfrags, ciphertext)
  return {
    reencrypt: () => void reencrypt(capsule, kfrag),
    decryptVerified: () => open(verified),
    decryptReceived: () => open(verify()),
  }
}
