import { open } from 'node:fs/promises'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { KmsError, Secret } from '@tkms/dkg'
import type { Rng } from '../ports.ts'
import { KEY_BYTES } from '../store/aead.ts'
import { replaceFile } from '../files.ts'
import { createKeySealer, type NodeSealer } from './key-sealer.ts'
import { createSaltedKeys } from './salted-keys.ts'

const LINE = /^[0-9a-f]{64}\n?$/
const MAX_FILE_BYTES = 66

const refused = (file: string, why: string, cause?: unknown): KmsError =>
  new KmsError('key-file-refused', `${file} is refused: ${why}`, { data: { file }, cause })

/**
 * Seals under a key in a file, 64 hex digits: for development only, whoever has the disk has it all.
 * @param file absolute; made by the first `seal` when there is none
 */
export function createKeyFileSealer(file: string, rng: Rng): NodeSealer {
  const keys = createSaltedKeys('kms-file', () => readKey(file), rng)
  return createKeySealer(
    { ...keys, check: async () => undefined, create: (note) => makeKey(file, rng).then(() => keys.create(note)) },
    rng,
  )
}

/** @throws KmsError `key-file-refused` */
async function readKey(file: string): Promise<Secret> {
  const handle = await open(file).catch((cause: unknown) => {
    throw refused(file, 'it cannot be read, and without it the store does not open', cause)
  })
  try {
    const facts = await handle.stat()
    if (!facts.isFile()) throw refused(file, 'it is no file')
    if ((facts.mode & 0o077) !== 0) throw refused(file, 'other users can read or change it: run chmod 600 on it')
    const buffer = Buffer.alloc(MAX_FILE_BYTES)
    const { bytesRead } = await handle.read(buffer, 0, MAX_FILE_BYTES, 0)
    const text = buffer.toString('latin1', 0, bytesRead)
    buffer.fill(0)
    if (!LINE.test(text)) throw refused(file, 'it should hold 64 hex digits and nothing else')
    return new Secret(hexToBytes(text.slice(0, 64)))
  } finally {
    await handle.close()
  }
}

/** An existing one is kept: another store may be sealed under it. */
async function makeKey(file: string, rng: Rng): Promise<void> {
  const handle = await open(file).catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw refused(file, 'it cannot be read', cause)
  })
  if (handle !== undefined) return handle.close()
  const key = rng.bytes(KEY_BYTES)
  await replaceFile(file, `${bytesToHex(key)}\n`)
  key.fill(0)
}
