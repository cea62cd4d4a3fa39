import { open } from 'node:fs/promises'
import { Secret } from '@tkms/dkg'
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption'
import { backupError } from './errors.ts'

/** A group may be let in, as for a passphrase file. */
const OTHERS = 0o007
const MAX_IDENTITY_FILE_BYTES = 64 * 1024
const MAX_IDENTITIES = 64
export const MAX_RECIPIENTS = 16

/** @param recipients `age1..`, 1 to 16 @throws KmsError `bad-recipient` */
export function createAgeEncrypter(recipients: readonly string[]): Encrypter {
  if (recipients.length === 0 || recipients.length > MAX_RECIPIENTS)
    throw backupError('bad-recipient', `a backup is for 1 to ${MAX_RECIPIENTS} recipients`)
  const encrypter = new Encrypter()
  for (const recipient of recipients) {
    try {
      encrypter.addRecipient(recipient)
    } catch (cause) {
      throw backupError('bad-recipient', 'a recipient begins with age1, as age-keygen or backup keygen prints it', {
        cause,
        data: { recipient: recipient.startsWith('AGE-SECRET-KEY') ? '[a secret key]' : recipient.slice(0, 100) },
      })
    }
  }
  return encrypter
}

/** age v1 (age-encryption.org/v1), binary. @throws KmsError `bad-recipient` */
export async function encryptToRecipients(plaintext: Secret, recipients: readonly string[]): Promise<Uint8Array> {
  const encrypter = createAgeEncrypter(recipients)
  const bytes = plaintext.use((inner) => Uint8Array.from(inner))
  try {
    return await encrypter.encrypt(bytes)
  } finally {
    bytes.fill(0)
  }
}

/** What opens backups. */
export interface AgeIdentities {
  /** `AGE-SECRET-KEY-..` each; strings, which cannot be wiped: the process that reads them ends soon. */
  readonly secretKeys: readonly string[]
  /** Set when every user of the machine can read or change the file. */
  readonly warning: string | undefined
}

/**
 * Reads a file as `age-keygen` writes it: one identity a line, `#` begins a comment.
 * @throws KmsError `identity-unreadable`
 */
export async function readIdentityFile(file: string): Promise<AgeIdentities> {
  const unreadable = (why: string, cause?: unknown): Error =>
    backupError('identity-unreadable', `${file} ${why}: it should hold a line AGE-SECRET-KEY-..`, {
      cause,
      data: { file },
    })
  const handle = await open(file).catch((cause: unknown) => {
    throw unreadable('cannot be read', cause)
  })
  const buffer = new Uint8Array(MAX_IDENTITY_FILE_BYTES + 1)
  try {
    const facts = await handle.stat()
    if (!facts.isFile()) throw unreadable('is no file')
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0)
    if (bytesRead > MAX_IDENTITY_FILE_BYTES) throw unreadable('is too long')
    const secretKeys = new TextDecoder()
      .decode(buffer.subarray(0, bytesRead))
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#'))
    if (secretKeys.length === 0 || secretKeys.length > MAX_IDENTITIES) throw unreadable('has no identity, or too many')
    if (!secretKeys.every((line) => line.startsWith('AGE-SECRET-KEY-')))
      throw unreadable('has a line that is no identity')
    const isOpen = (facts.mode & OTHERS) !== 0
    return {
      secretKeys,
      warning: isOpen ? `${file} can be read or changed by every user of this machine: run chmod 600 on it` : undefined,
    }
  } finally {
    buffer.fill(0)
    await handle.close()
  }
}

/** @throws KmsError `wrong-identity`, `identity-unreadable` */
export async function decryptWithIdentities(
  sealed: Uint8Array,
  { secretKeys }: Pick<AgeIdentities, 'secretKeys'>,
): Promise<Secret> {
  const decrypter = new Decrypter()
  try {
    for (const key of secretKeys) decrypter.addIdentity(key)
  } catch (cause) {
    throw backupError('identity-unreadable', 'an identity of the file is none of age', { cause })
  }
  try {
    return new Secret(await decrypter.decrypt(sealed))
  } catch (cause) {
    throw backupError('wrong-identity', 'none of the identities opens this backup: it was made for other recipients', {
      cause,
    })
  }
}

/** A new X25519 identity, as the content of an identity file. */
export async function createIdentityFile(
  nowMs: number,
): Promise<{ readonly recipient: string; readonly content: Secret }> {
  const identity = await generateX25519Identity()
  const recipient = await identityToRecipient(identity)
  const text = `# created: ${new Date(nowMs).toISOString()}\n# public key: ${recipient}\n${identity}\n`
  return { recipient, content: new Secret(new TextEncoder().encode(text)) }
}
