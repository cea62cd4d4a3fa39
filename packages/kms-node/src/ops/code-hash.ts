import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'

/** What programs run here, so that anybody can compare it with a release (`npm run --silent release:manifest`). */
export interface CodeHash {
  /**
   * 32 bytes: SHA-256 of one line `HASH  NAME\n` for each file of the bundled programs, by name; what
   * `sha256sum *.js | LC_ALL=C sort -k2 | sha256sum` says in their folder.
   */
  readonly code: Uint8Array
  /** 32 bytes: SHA-256 of the binary of libsecp256k1 that this process has loaded; absent where it computes without one. */
  readonly native?: Uint8Array
}

/** One of the files that all programs of a folder are. */
const PROGRAM = 'kms-node.js'

const sha256Of = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest()

/** @returns undefined where the programs do not lie in this folder: this process does not run one of them */
export async function measureCode(directory: string = import.meta.dirname): Promise<CodeHash | undefined> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.js')).toSorted()
  if (!names.includes(PROGRAM)) return undefined
  const lines: string[] = []
  for (const name of names) lines.push(`${sha256Of(await readFile(join(directory, name))).toString('hex')}  ${name}\n`)
  const native = loadedBinary()
  return { code: sha256Of(lines.join('')), ...(native !== undefined && { native: sha256Of(await readFile(native)) }) }
}

/** Binaries are loaded by `require` alone, which knows their paths. */
function loadedBinary(): string | undefined {
  const { cache } = createRequire(import.meta.url)
  return Object.keys(cache).find((path) => path.endsWith('.node') && path.includes('secp256k1'))
}
