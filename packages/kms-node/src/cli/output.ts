import { isKmsError } from '../errors.ts'

/** Documented in every `--help`. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  notRunning: 3,
  ceremonyStopped: 4,
} as const

export const EXIT_HELP = `
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage, 3 no node runs on this data directory,
4 the ceremony stopped or failed (the message names who is missing).`

export { COMMAND } from '../command.ts'

/** Where a command writes. */
export interface Output {
  /** One JSON object on one line, instead of text. */
  readonly json: boolean
  /** For people. */
  text(line: string): void
  /** The result: JSON on one line with `--json`, else `lines`. */
  result(value: unknown, lines: readonly string[]): void
  /** To stderr. */
  hint(line: string): void
}

export function createOutput(json: boolean): Output {
  const write = (line: string): void => {
    process.stdout.write(`${line}\n`)
  }
  return {
    json,
    text: (line) => {
      if (!json) write(line)
    },
    result: (value, lines) => {
      if (json) write(JSON.stringify(value))
      else lines.forEach(write)
    },
    hint: (line) => {
      if (!json) process.stderr.write(`${line}\n`)
    },
  }
}

const colours = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const

/** Escape codes on a terminal that wants them, else the text itself. */
export function paint(colour: keyof typeof colours, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  const wanted = stream.isTTY && process.env['NO_COLOR'] === undefined
  return wanted ? `\u001B[${colours[colour]}m${text}\u001B[0m` : text
}

/** Prints an error the way the command was asked to print, and gives the exit code. */
export function reportError(cause: unknown, json: boolean): number {
  const known = isKmsError(cause)
  const code = known ? cause.code : 'unexpected'
  const message = cause instanceof Error ? cause.message : String(cause)
  if (json)
    process.stdout.write(`${JSON.stringify({ error: { code, message, ...(known && { data: cause.data }) } })}\n`)
  else process.stderr.write(`${paint('red', 'error', process.stderr)} ${code}: ${message}\n`)
  if (code === 'node-not-running') return EXIT.notRunning
  return code === 'ceremony-stopped' ? EXIT.ceremonyStopped : EXIT.failed
}
