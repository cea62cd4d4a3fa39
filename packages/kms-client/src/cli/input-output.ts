import { MAX_PLAINTEXT_BYTES } from '@tkms/dkg'
import { readBounded, readStream, writeAtomically } from '../node/files.ts'
import type { Terminal } from './terminal.ts'

/** The JSON form of the longest envelope. */
export const MAX_ENVELOPE_BYTES: number = 2 * MAX_PLAINTEXT_BYTES + 65_536
/** Of files for everybody. */
export const PUBLIC_MODE = 0o644
/** Of files for their owner alone. */
export const PRIVATE_MODE = 0o600

/** Options of every command that writes data. */
export interface OutputOptions {
  readonly out?: string
  readonly force: boolean
  readonly json: boolean
}

/** A file, or standard input for "-". */
export const readInput = (terminal: Terminal, path: string, maxBytes: number): Promise<Uint8Array> =>
  path === '-' ? readStream(terminal.stdin, maxBytes) : readBounded(path, maxBytes)

/** Data goes to the file, or to standard output; a report of what was written only with --out. */
export async function writeOutput(
  terminal: Terminal,
  data: Uint8Array,
  options: OutputOptions & { readonly mode: number; readonly report: Readonly<Record<string, string>> },
): Promise<void> {
  if (options.out === undefined) return terminal.writeOut(data)
  await writeAtomically(options.out, data, { force: options.force, mode: options.mode })
  const report = { written: options.out, ...options.report }
  if (options.json) await terminal.writeOut(`${JSON.stringify(report)}\n`)
  else for (const [name, value] of Object.entries(report)) terminal.writeErr(`${name} ${value}\n`)
}
