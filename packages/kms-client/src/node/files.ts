import { randomUUID } from 'node:crypto'
import { link, open, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { KmsError } from '@tkms/dkg'
import { joinChunks } from '../transport/exchange.ts'

export type FileErrorCode = 'cannot-read' | 'cannot-write' | 'output-exists' | 'input-too-large' | 'unsafe-permissions'

function fileError(code: FileErrorCode, message: string, cause?: unknown): KmsError<FileErrorCode> {
  return new KmsError(code, message, { cause })
}

/** Standard input, where a path is "-". */
export type ByteSource = AsyncIterable<Uint8Array>

/** The bytes of a stream. @throws KmsError `input-too-large` as soon as there are more than `maxBytes` */
export async function readStream(source: ByteSource, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of source) {
    length += chunk.length
    if (length > maxBytes) throw fileError('input-too-large', `the input has more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return joinChunks(chunks, length)
}

/** The bytes of a file. @throws KmsError `cannot-read`, `input-too-large` */
export async function readBounded(path: string, maxBytes: number): Promise<Uint8Array> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw fileError('cannot-read', `${path} cannot be opened`, cause)
  })
  try {
    return await readStream(file.createReadStream({ autoClose: false }), maxBytes)
  } catch (cause) {
    if (cause instanceof KmsError) throw cause
    throw fileError('cannot-read', `${path} cannot be read`, cause)
  } finally {
    await file.close()
  }
}

/** A file that only its owner can read. @throws KmsError `unsafe-permissions`, `cannot-read`, `input-too-large` */
export async function readPrivate(path: string, maxBytes: number): Promise<Uint8Array> {
  const { mode } = await stat(path).catch((cause: unknown) => {
    throw fileError('cannot-read', `${path} cannot be read`, cause)
  })
  if ((mode & 0o077) !== 0) throw fileError('unsafe-permissions', `${path} can be read by others: run chmod 600 on it`)
  return readBounded(path, maxBytes)
}

/**
 * Writes a whole file or none: a temporary file beside it is synced, then put in place in one step.
 * @param options.force replace an existing file; else it is an error and left as it is
 * @throws KmsError `output-exists`, `cannot-write`
 */
export async function writeAtomically(
  path: string,
  bytes: Uint8Array,
  options: { readonly force: boolean; readonly mode: number },
): Promise<void> {
  const temporary = join(dirname(path), `.tkms-${randomUUID()}`)
  try {
    const file = await open(temporary, 'wx', options.mode)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    if (options.force) await rename(temporary, path)
    else await link(temporary, path)
  } catch (cause) {
    const exists = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
    if (exists) throw fileError('output-exists', `${path} exists: choose another name or use --force`, cause)
    throw fileError('cannot-write', `${path} cannot be written`, cause)
  } finally {
    await rm(temporary, { force: true })
  }
}
