import { bytesToHex, concatBytes } from '@noble/hashes/utils.js'
import { dkgError, KmsError } from '../errors.ts'

/**
 * Canonical bytes (protocol 3): big-endian fixed-width integers, `var(x)` = u32 length + bytes, `list(x)` = u16 count + items.
 * These bytes are the only thing that is hashed or signed. Every decoder is strict: caps, no trailing bytes, one encoding per value.
 */

const U16_MAX = 0xffff
const U32_MAX = 0xffffffff

function integer(value: number, width: number, max: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > max)
    throw dkgError('bad-encoding', `an unsigned integer of ${width} bytes is out of range`, { data: { value } })
  const out = new Uint8Array(width)
  let rest = value
  for (let at = width - 1; at >= 0; at--) {
    out[at] = rest % 256
    rest = Math.floor(rest / 256)
  }
  return out
}

export const u8 = (value: number): Uint8Array => integer(value, 1, 0xff)
export const u16 = (value: number): Uint8Array => integer(value, 2, U16_MAX)
export const u32 = (value: number): Uint8Array => integer(value, 4, U32_MAX)
/** Up to 2^53 - 1: the whole range a JavaScript number holds exactly. */
export const u64 = (value: number): Uint8Array => integer(value, 8, Number.MAX_SAFE_INTEGER)

/** u32 length || bytes. */
export const varBytes = (bytes: Uint8Array): Uint8Array => concatBytes(u32(bytes.length), bytes)

/** u16 count || items. */
export const list = <T>(items: readonly T[], encode: (item: T) => Uint8Array): Uint8Array =>
  concatBytes(u16(items.length), ...items.map(encode))

/** True when both arrays hold the same bytes. Not constant time: public values only. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false
  for (let at = 0; at < left.length; at++) if (left[at] !== right[at]) return false
  return true
}

/** A map key for public bytes: lower-case hex. */
export const bytesKey = (bytes: Uint8Array): string => bytesToHex(bytes)

/** Reads canonical bytes front to back. Every method throws KmsError `bad-encoding` and names the field. */
export class Reader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get remaining(): number {
    return this.#bytes.length - this.#at
  }

  /** Exactly `length` bytes, copied. */
  take(length: number, field: string): Uint8Array {
    if (length > this.remaining) throw fieldError(field, 'ends too early')
    const out = this.#bytes.slice(this.#at, this.#at + length)
    this.#at += length
    return out
  }

  /** Everything that is left, copied, at most `maxLength` bytes. */
  rest(maxLength: number, field: string): Uint8Array {
    if (this.remaining > maxLength) throw fieldError(field, 'is too long')
    return this.take(this.remaining, field)
  }

  u8(field: string): number {
    return this.#integer(1, field)
  }

  u16(field: string): number {
    return this.#integer(2, field)
  }

  u32(field: string): number {
    return this.#integer(4, field)
  }

  u64(field: string): number {
    const value = this.#integer(8, field)
    if (!Number.isSafeInteger(value)) throw fieldError(field, 'is above 2^53 - 1')
    return value
  }

  var(maxLength: number, field: string): Uint8Array {
    const length = this.u32(field)
    if (length > maxLength) throw fieldError(field, 'is too long')
    return this.take(length, field)
  }

  /** `decode` reads one item and must consume at least one byte. */
  list<T>(bounds: { readonly min: number; readonly max: number }, field: string, decode: (reader: Reader) => T): T[] {
    const count = this.u16(field)
    if (count < bounds.min || count > bounds.max) throw fieldError(field, 'has a wrong number of items')
    const items: T[] = []
    for (let n = 0; n < count; n++) items.push(decode(this))
    return items
  }

  /** Refuses trailing bytes. */
  end(what: string): void {
    if (this.remaining !== 0) throw fieldError(what, 'has trailing bytes')
  }

  #integer(width: number, field: string): number {
    if (width > this.remaining) throw fieldError(field, 'ends too early')
    let value = 0
    for (let n = 0; n < width; n++) value = value * 256 + (this.#bytes[this.#at + n] ?? 0)
    this.#at += width
    return value
  }
}

function fieldError(field: string, problem: string): KmsError {
  return dkgError('bad-encoding', `${field} ${problem}`, { data: { field } })
}

/** Reads the whole of `bytes` with `decode`; trailing bytes are refused. */
export function decodeAll<T>(bytes: Uint8Array, what: string, decode: (reader: Reader) => T): T {
  const reader = new Reader(bytes)
  const value = decode(reader)
  reader.end(what)
  return value
}

/** The value, or undefined where `decode` refuses its input with a KmsError. Anything else is a bug and is thrown on. */
export function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode()
  } catch (error) {
    if (error instanceof KmsError) return undefined
    throw error
  }
}

/** Items ascend by index and hold none twice (protocol 3: lists of members). */
export function requireAscending(indices: readonly number[], field: string): void {
  for (let at = 1; at < indices.length; at++)
    if ((indices[at] ?? 0) <= (indices[at - 1] ?? 0)) throw fieldError(field, 'is not in ascending order')
}
