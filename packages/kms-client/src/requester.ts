import { clientError } from './errors.ts'

/** RSA-OAEP with SHA-256 for hash and mask and an empty label, the only wrapping a node makes (interfaces 2; protocol 12, row 42). */
const ALGORITHM = { name: 'RSA-OAEP', hash: 'SHA-256' } as const
const MODULUS_BITS = 2048
const PUBLIC_EXPONENT = Uint8Array.of(1, 0, 1)

/**
 * Who the answers are boxed to. A client makes one RSA key when it first needs it and keeps it for its lifetime: the private
 * half cannot be exported, never leaves WebCrypto, and is gone with the process, so recorded answers cannot be opened later.
 * Reuse between the requests of one client is safe: every answer is bound to its own request by the node's signature and proof.
 * Nodes, whom the key identifies as one recipient, know the signer anyway.
 */
export interface RequesterKey {
  /** The public key, SPKI DER: 294 bytes for 2048 bits. */
  readonly spki: Uint8Array
  /** Length of one RSA block: 256 bytes for 2048 bits. */
  readonly blockBytes: number
  /**
   * Opens one RSA-OAEP block. A block that does not open is undefined, without a reason (protocol 12, row 42).
   * @param block exactly `blockBytes`
   */
  unwrap(block: Uint8Array): Promise<Uint8Array | undefined>
}

/** A fresh RSA-2048 key, e = 65537, by WebCrypto; the private half is not extractable. Takes 50 to 500 ms. */
export async function createRequesterKey(): Promise<RequesterKey> {
  const { publicKey, privateKey } = await crypto.subtle.generateKey(
    { ...ALGORITHM, modulusLength: MODULUS_BITS, publicExponent: PUBLIC_EXPONENT },
    false,
    ['encrypt', 'decrypt'],
  )
  return wireRequester(privateKey, new Uint8Array(await crypto.subtle.exportKey('spki', publicKey)))
}

/**
 * A requester of a key that somebody else keeps, for example one a grant was issued to.
 * @param privateKey RSA-OAEP SHA-256, usage "decrypt"
 * @param publicKey RSA-OAEP SHA-256, extractable
 * @throws KmsError `bad-argument` for keys of another algorithm, without the usage, or that are no pair
 */
export async function requesterKeyFromPair(privateKey: CryptoKey, publicKey: CryptoKey): Promise<RequesterKey> {
  if (!isOaepSha256(privateKey) || !isOaepSha256(publicKey) || !privateKey.usages.includes('decrypt'))
    throw clientError('bad-argument', 'the requester key must be RSA-OAEP with SHA-256 and may decrypt')
  if (modulusBits(privateKey) !== modulusBits(publicKey) || modulusBits(publicKey) < MODULUS_BITS)
    throw clientError('bad-argument', 'the requester key has less than 2048 bits, or its halves do not belong together')
  return wireRequester(privateKey, new Uint8Array(await crypto.subtle.exportKey('spki', publicKey)))
}

const isOaepSha256 = (key: CryptoKey): boolean =>
  key.algorithm.name === ALGORITHM.name &&
  'hash' in key.algorithm &&
  (key.algorithm as RsaHashedKeyAlgorithm).hash.name === ALGORITHM.hash

const modulusBits = (key: CryptoKey): number => (key.algorithm as RsaHashedKeyAlgorithm).modulusLength

function wireRequester(privateKey: CryptoKey, spki: Uint8Array): RequesterKey {
  const blockBytes = Math.ceil(modulusBits(privateKey) / 8)
  return {
    spki,
    blockBytes,
    async unwrap(block) {
      if (block.length !== blockBytes) return undefined
      try {
        return new Uint8Array(await crypto.subtle.decrypt(ALGORITHM.name, privateKey, Uint8Array.from(block)))
      } catch {
        // WebCrypto says "does not open" only by throwing, and why it does not must not be told apart.
        return undefined
      }
    },
  }
}
