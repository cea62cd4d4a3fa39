import { styleText } from 'node:util'
import { isKmsError, QuorumError } from '../errors.ts'

/** Where a command reads and writes. Data goes to `stdout`, everything for people to `stderr`. */
export interface Terminal {
  readonly stdin: AsyncIterable<Uint8Array>
  readonly stdoutIsTty: boolean
  readonly stderrIsTty: boolean
  /** Resolves when the bytes are handed over. */
  writeOut(data: Uint8Array | string): Promise<void>
  writeErr(text: string): void
  /** Fires on an interrupt. */
  readonly signal: AbortSignal
}

/** How these commands are called, for hints. */
export const COMMAND = 'npm run --silent tkms --'

const paint = (terminal: Terminal, style: 'red' | 'dim', text: string): string =>
  terminal.stderrIsTty ? styleText(style, text, { validateStream: false }) : text

/** Says what failed: one JSON object on stdout with --json, else sentences on stderr; a QuorumError with one line per node. */
export async function reportError(
  terminal: Terminal,
  error: unknown,
  options: { readonly json: boolean },
): Promise<void> {
  const code = isKmsError(error) ? error.code : 'internal'
  const message = isKmsError(error) ? error.message : 'something unexpected failed'
  const nodes = error instanceof QuorumError ? error.causes : []
  if (options.json) {
    const causes = nodes.map(({ index, name, code: cause, detail }) => ({ index, name, code: cause, detail }))
    const retryable = isKmsError(error) && error.retryable
    await terminal.writeOut(
      `${JSON.stringify({ error: { code, message, retryable, ...(nodes.length > 0 ? { causes } : {}) } })}\n`,
    )
    return
  }
  const summary = error instanceof QuorumError ? `${error.got} of ${error.needed} needed answers` : message
  terminal.writeErr(`${paint(terminal, 'red', 'error')} ${code}: ${summary}\n`)
  for (const node of nodes) terminal.writeErr(`  node ${node.index} ${node.name}: ${node.code}: ${node.detail}\n`)
  const hint = hintFor(
    code,
    nodes.map((node) => node.code),
  )
  if (hint !== undefined) terminal.writeErr(`${paint(terminal, 'dim', `hint: ${hint}`)}\n`)
}

function hintFor(code: string, causes: readonly string[]): string | undefined {
  if (code === 'ambiguous-key') return 'add: --key NAME'
  if (code === 'no-signer') return `make a key with: ${COMMAND} keygen --out signer.pem`
  if (code === 'degraded-certificate')
    return 'compare that config hash with an operator, then add: --accept-config-hash 0x..'
  if (code === 'pin-mismatch') return 'compare the config hash with an operator before you trust this file'
  if (causes.includes('not-allowed'))
    return `see who may open it with: ${COMMAND} verify --cluster FILE ENVELOPE. Which rule refused shows an operator's "policy explain --request FILE", of the file that "tkms request --out FILE" writes`
  if (causes.includes('clock-skew')) return 'set the clock of this machine and try again'
  return undefined
}
