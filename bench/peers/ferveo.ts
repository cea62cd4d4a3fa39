import {
  combineDecryptionSharesSimple,
  DecryptionShareSimple,
  decryptWithSharedSecret,
  Dkg,
  EthereumAddress,
  ferveoEncrypt,
  initialize,
  Keypair,
  Validator,
  ValidatorMessage,
} from '@nucypher/nucypher-core'

/** Ferveo's threshold decryption with pairings on BLS12-381 ("simple" variant), Rust compiled to WebAssembly. */
export interface Ferveo {
  /** A validator's work: its decryption share. */
  readonly share: () => void
  /** A client's, from the bytes of t shares: reads and combines them, opens. Shares carry no proof. @returns the plaintext */
  decryptReceived(): Uint8Array
}

export async function createFerveo(input: {
  readonly n: number
  readonly t: number
  readonly plaintext: Uint8Array
}): Promise<Ferveo> {
  await initialize()
  const { n, t, plaintext } = input
  const ritual = 1
  const keypairs = Array.from({ length: n }, () => Keypair.random())
  const validators = keypairs.map(({ publicKey }, at) => {
    const address = EthereumAddress.fromString(`0x${(at + 1).toString(16).padStart(40, '0')}`)
    return new Validator(address, publicKey)
  })
  const dkgOf = (me: Validator): Dkg => new Dkg(ritual, n, t, validators, me)
  const messages = validators.map((me) => new ValidatorMessage(me, dkgOf(me).generateTranscript()))
  const holders = validators.slice(0, t).map((me, at) => ({ dkg: dkgOf(me), keypair: keypairs[at] }))
  const [first] = holders
  if (first?.keypair === undefined) throw new Error('n validators were made')
  const transcript = first.dkg.aggregateTranscript(messages)
  if (!transcript.verify(n, messages)) throw new Error('the transcript of honest validators does not hold')
  const aad = new Uint8Array(32)
  const ciphertext = ferveoEncrypt(plaintext, aad, first.dkg.publicKey())
  const shareOf = (dkg: Dkg, keypair: Keypair): DecryptionShareSimple =>
    transcript.createDecryptionShareSimple(dkg, ciphertext.header, aad, keypair)
  const received = holders.flatMap(({ dkg, keypair }) => (keypair ? [shareOf(dkg, keypair).toBytes()] : []))
  const { dkg, keypair } = first
  return {
    share: () => void shareOf(dkg, keypair),
    decryptReceived: () =>
      decryptWithSharedSecret(
        ciphertext,
        aad,
        combineDecryptionSharesSimple(received.map((bytes) => DecryptionShareSimple.fromBytes(bytes))),
      ),
  }
}
