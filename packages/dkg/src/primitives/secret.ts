import { dkgError } from '../errors.ts'

const REDACTED = '[redacted]'

/**
 * Bytes that must not be printed, serialised or kept. They are readable only inside `use`, and gone after `destroy`.
 * The constructor takes the array over: the caller keeps no other reference to it.
 */
export class Secret {
  #bytes: Uint8Array | undefined
  readonly length: number

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.length = bytes.length
  }

  /** A secret of its own copy of `bytes`; the caller wipes the original. */
  static copyOf(bytes: Uint8Array): Secret {
    return new Secret(Uint8Array.from(bytes))
  }

  /**
   * Lends the bytes to `fn`, which must not keep them.
   * @throws KmsError `secret-destroyed`
   */
  use<T>(fn: (bytes: Uint8Array) => T): T {
    if (this.#bytes === undefined) throw dkgError('secret-destroyed', 'this secret was already wiped')
    return fn(this.#bytes)
  }

  get destroyed(): boolean {
    return this.#bytes === undefined
  }

  /** Overwrites the bytes with zeros. Idempotent. */
  destroy(): void {
    this.#bytes?.fill(0)
    this.#bytes = undefined
  }

  toString(): string {
    return REDACTED
  }

  toJSON(): string {
    return REDACTED
  }
}

// What Node's `util.inspect` (and so `console.log`) calls; the symbol is registered, no import is needed.
Object.defineProperty(Secret.prototype, Symbol.for('nodejs.util.inspect.custom'), { value: (): string => REDACTED })
