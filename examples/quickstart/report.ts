const colours = { bold: 1, dim: 2, red: 31, green: 32, cyan: 36 } as const

/** What the quickstart tells a person: colour and rewritten lines only on a terminal. */
export class Report {
  readonly #startedMs = performance.now()
  readonly #tty = process.stdout.isTTY && process.env['NO_COLOR'] === undefined
  readonly #interrupted: AbortSignal
  #open = false

  /** @param interrupted no step begins once it fires */
  constructor(interrupted: AbortSignal) {
    this.#interrupted = interrupted
  }

  paint(colour: keyof typeof colours, text: string): string {
    return this.#tty ? `\u001B[${colours[colour]}m${text}\u001B[0m` : text
  }

  step(text: string): void {
    this.#interrupted.throwIfAborted()
    this.#close()
    console.log(`\n${this.paint('bold', text)}`)
  }

  line(text: string): void {
    this.#close()
    console.log(`  ${text}`)
  }

  /** A line that the next one replaces on a terminal. */
  progress(text: string): void {
    if (!this.#tty) return this.line(text)
    process.stdout.write(`\r\u001B[2K  ${text}`)
    this.#open = true
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedMs
  }

  #close(): void {
    if (this.#open) process.stdout.write('\n')
    this.#open = false
  }
}

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`
