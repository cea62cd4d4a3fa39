import { open } from 'node:fs/promises'
import { KmsError, Secret } from '@tkms/dkg'

const MAX_PASSPHRASE_BYTES = 1024
/** Shorter ones are refused: the sealed file may be attacked offline. */
export const MIN_PASSPHRASE_BYTES = 12

/** A group may be let in: where a file is mounted into a container its owner often is not the node. */
const OTHERS = 0o007

export const PASSPHRASE_VARIABLE = 'TKMS_PASSPHRASE'
const FILE_VARIABLE = 'TKMS_PASSPHRASE_FILE'

export interface PassphraseSource {
  /** From the configuration; goes before the environment. */
  readonly file?: string | undefined
  /** `process.env`: TKMS_PASSPHRASE_FILE, then TKMS_PASSPHRASE, which is removed after it was read. */
  readonly env: Record<string, string | undefined>
  /** A file that every user of the machine can read or change is refused in production. */
  readonly profile: 'production' | 'development'
  /** Told of such a file in development. */
  readonly onWarning?: (warning: string) => void
}

/**
 * Reads the passphrase: a file (its last line break does not count) or the environment; never an argument of the command line.
 * @throws KmsError `passphrase-missing`, `passphrase-unreadable`, `passphrase-weak`, `unsafe-permissions`
 */
export async function readPassphrase(source: PassphraseSource): Promise<Secret> {
  const direct = source.env[PASSPHRASE_VARIABLE]
  delete source.env[PASSPHRASE_VARIABLE]
  const file = source.file ?? source.env[FILE_VARIABLE]
  if (file !== undefined) return requireStrong(await readFirstBytes(file, source))
  if (direct !== undefined) return requireStrong(Buffer.from(direct, 'utf8'))
  throw new KmsError(
    'passphrase-missing',
    `no passphrase: give init --passphrase-file FILE, set sealer.passphraseFile in node.yaml, ${FILE_VARIABLE}, or ${PASSPHRASE_VARIABLE}`,
  )
}

async function readFirstBytes(file: string, { profile, onWarning }: PassphraseSource): Promise<Uint8Array> {
  const unreadable = (cause?: unknown): KmsError =>
    new KmsError('passphrase-unreadable', `${file} cannot be read: the passphrase should be in it`, {
      cause,
      data: { file },
    })
  const buffer = new Uint8Array(MAX_PASSPHRASE_BYTES + 3)
  const handle = await open(file).catch((cause: unknown) => {
    throw unreadable(cause)
  })
  try {
    const facts = await handle.stat()
    if (!facts.isFile()) throw unreadable()
    if ((facts.mode & OTHERS) !== 0) {
      const warning = `${file} can be read or changed by every user of this machine: run chmod 600 on it`
      if (profile === 'production') throw new KmsError('unsafe-permissions', warning, { data: { file } })
      onWarning?.(warning)
    }
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0)
    let end = bytesRead
    if (end > 0 && buffer[end - 1] === 0x0a) end--
    if (end > 0 && buffer[end - 1] === 0x0d) end--
    return buffer.subarray(0, end)
  } finally {
    await handle.close()
  }
}

function requireStrong(bytes: Uint8Array): Secret {
  const secret = Secret.copyOf(bytes)
  bytes.fill(0)
  if (secret.length >= MIN_PASSPHRASE_BYTES && secret.length <= MAX_PASSPHRASE_BYTES) return secret
  secret.destroy()
  throw new KmsError(
    'passphrase-weak',
    `a passphrase has ${MIN_PASSPHRASE_BYTES} to ${MAX_PASSPHRASE_BYTES} bytes, this one has not`,
  )
}
