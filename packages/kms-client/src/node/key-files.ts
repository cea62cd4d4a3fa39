import { createHash, createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { KmsError, Secret } from '@tkms/dkg'
import { requesterKeyFromPair, type RequesterKey } from '../requester.ts'
import type { RequestSigner } from '../signer.ts'
import { readPrivate } from './files.ts'
import { createNativeSigner } from './native-signature.ts'

const MAX_KEY_FILE_BYTES = 16_384
const SEED_BYTES = 32
const OAEP = { name: 'RSA-OAEP', hash: 'SHA-256' } as const
const generate = promisify(generateKeyPair)

/** The kinds of key a file holds: who signs, and whom answers are boxed to. */
export type KeyFileType = 'signer' | 'recipient'

function badKeyFile(message: string, cause?: unknown): KmsError<'bad-key-file'> {
  return new KmsError('bad-key-file', message, { cause })
}

/** A fresh key as PKCS#8 PEM, as `openssl genpkey` writes it: Ed25519 for a signer, RSA-2048 for a recipient. */
export async function generateKeyFile(type: KeyFileType): Promise<{ readonly pem: Uint8Array; readonly name: string }> {
  const { privateKey } =
    type === 'signer'
      ? await generate('ed25519')
      : await generate('rsa', { modulusLength: 2048, publicExponent: 65_537 })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  return { pem: new TextEncoder().encode(pem), name: publicName(privateKey) }
}

/** The publicKeyId of a signer; "spki-sha256:" and the hash that grants name, of a recipient. */
function publicName(privateKey: KeyObject): string {
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
  if (privateKey.asymmetricKeyType === 'ed25519') return `ed25519:${spki.subarray(-SEED_BYTES).toString('hex')}`
  return `spki-sha256:0x${createHash('sha256').update(spki).digest('hex')}`
}

async function readKey(path: string): Promise<KeyObject> {
  const pem = Buffer.from(await readPrivate(path, MAX_KEY_FILE_BYTES))
  try {
    return createPrivateKey({ key: pem, format: 'pem' })
  } catch (cause) {
    throw badKeyFile(`${path} is not a private key in PKCS#8 PEM`, cause)
  } finally {
    pem.fill(0)
  }
}

/**
 * The signer of a key file that only its owner can read.
 * @throws KmsError `bad-key-file`, `unsafe-permissions`, `cannot-read`
 */
export async function readSigner(path: string): Promise<RequestSigner> {
  const key = await readKey(path)
  if (key.asymmetricKeyType !== 'ed25519') throw badKeyFile(`${path} is not an Ed25519 key`)
  const der = key.export({ type: 'pkcs8', format: 'der' })
  const seed = Secret.copyOf(der.subarray(-SEED_BYTES))
  der.fill(0)
  return createNativeSigner(seed)
}

/**
 * The RSA key of a key file, as the key answers are boxed to.
 * @throws KmsError `bad-key-file`, `bad-argument`, `unsafe-permissions`, `cannot-read`
 */
export async function readRecipient(path: string): Promise<RequesterKey> {
  const key = await readKey(path)
  if (key.asymmetricKeyType !== 'rsa') throw badKeyFile(`${path} is not an RSA key`)
  const der = key.export({ type: 'pkcs8', format: 'der' })
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' })
  const privateKey = await crypto.subtle.importKey('pkcs8', der, OAEP, false, ['decrypt'])
  der.fill(0)
  return requesterKeyFromPair(privateKey, await crypto.subtle.importKey('spki', spki, OAEP, true, ['encrypt']))
}
