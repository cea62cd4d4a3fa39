import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { dkgError, KmsError, type DkgErrorCode } from '../errors.ts'

/** Bytes as JSON carries them: "0x" and lower-case hex (interfaces 1). */
export const formatHex = (bytes: Uint8Array): string => `0x${bytesToHex(bytes)}`

/** Bounds of a hex field, in bytes. `anyCase` also accepts upper-case digits, for files that other programs wrote. */
export interface HexBounds {
  readonly min: number
  readonly max: number
  readonly anyCase?: boolean
}

/** What a text field must be: `rule` says it to a person. */
export interface TextBounds {
  readonly pattern: RegExp
  readonly maxLength: number
  readonly rule: string
}

const LOWER_HEX = /^0x[0-9a-f]*$/
const ANY_HEX = /^0x[0-9a-fA-F]*$/

/**
 * One JSON object read at the border. Every problem is written down under its path and reading goes on with a harmless value,
 * so that a person sees all of them at once; `parseJson` throws at the end.
 */
export class JsonFields {
  readonly #fields: ReadonlyMap<string, unknown>
  readonly #path: string
  readonly #problems: string[]
  readonly #known = new Set<string>()

  constructor(value: unknown, path: string, problems: string[]) {
    this.#path = path
    this.#problems = problems
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    if (!isObject) problems.push(`${path || 'the value'} must be an object`)
    this.#fields = new Map(isObject ? Object.entries(value) : [])
  }

  /** Whether the field is there. Asking makes it a known field. */
  has(name: string): boolean {
    this.#known.add(name)
    return this.#fields.has(name)
  }

  /** Bytes of a length within the bounds. */
  hex(name: string, bounds: HexBounds): Uint8Array {
    return this.#hex(this.#get(name), this.#at(name), bounds)
  }

  /** At most `maxEntries` values as `hex` reads them. */
  hexList(name: string, maxEntries: number, bounds: HexBounds): Uint8Array[] {
    return this.list(name, 0, maxEntries, (entry, path) => this.#hex(entry, path, bounds))
  }

  /** An integer in min..max. */
  integer(name: string, min: number, max: number): number {
    const value = this.#get(name)
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
    this.problem(name, `must be an integer from ${min} to ${max}`)
    return min
  }

  /** A string within the bounds. */
  text(name: string, bounds: TextBounds): string {
    return this.#text(this.#get(name), this.#at(name), bounds)
  }

  /** At most `maxEntries` values as `text` reads them. */
  textList(name: string, maxEntries: number, bounds: TextBounds): string[] {
    return this.list(name, 0, maxEntries, (entry, path) => this.#text(entry, path, bounds))
  }

  /** An array of min..max entries; each is read with its own path. */
  list<T>(name: string, min: number, max: number, read: (entry: unknown, path: string) => T): T[] {
    const value = this.#get(name)
    if (!Array.isArray(value) || value.length < min || value.length > max) {
      this.problem(name, `must be a list of ${min} to ${max} entries`)
      return []
    }
    return value.map((entry: unknown, at) => read(entry, `${this.#at(name)}[${at}]`))
  }

  /** Runs a parser of this package on a value; what it refuses becomes a problem of this field. */
  parsed<T>(name: string, parse: () => T): T | undefined {
    try {
      return parse()
    } catch (error) {
      if (!(error instanceof KmsError)) throw error
      this.problem(name, `is refused: ${error.message}`)
      return undefined
    }
  }

  problem(name: string, rule: string): void {
    this.#problems.push(`${this.#at(name)} ${rule}`)
  }

  /** Every field that nobody asked for is a problem: a misspelt name must not be silently ignored. */
  end(): void {
    for (const name of this.#fields.keys())
      if (!this.#known.has(name)) this.problem(shortName(name), 'is not a known field')
  }

  #hex(value: unknown, path: string, { min, max, anyCase = false }: HexBounds): Uint8Array {
    const pattern = anyCase ? ANY_HEX : LOWER_HEX
    const length = typeof value === 'string' ? (value.length - 2) / 2 : -1
    const wanted = min === max ? `${min}` : `${min} to ${max}`
    if (
      typeof value !== 'string' ||
      length < min ||
      length > max ||
      !Number.isInteger(length) ||
      !pattern.test(value)
    ) {
      this.#problems.push(`${path} must be "0x" and the ${anyCase ? '' : 'lower-case '}hex of ${wanted} bytes`)
      return new Uint8Array(min)
    }
    return hexToBytes(value.slice(2))
  }

  #text(value: unknown, path: string, { pattern, maxLength, rule }: TextBounds): string {
    if (typeof value === 'string' && value.length <= maxLength && pattern.test(value)) return value
    this.#problems.push(`${path} must be ${rule}`)
    return ''
  }

  #get(name: string): unknown {
    this.#known.add(name)
    return this.#fields.get(name)
  }

  #at(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`
  }
}

/**
 * Parses one JSON object with `read`; fields that `read` did not ask for are refused.
 * @throws KmsError `code` ; the first 64 problems are in `data.problems`
 */
export function parseJson<T>(
  code: DkgErrorCode,
  what: string,
  value: unknown,
  read: (fields: JsonFields, problems: string[]) => T,
): T {
  const problems: string[] = []
  const fields = new JsonFields(value, '', problems)
  const result = read(fields, problems)
  fields.end()
  if (problems.length === 0) return result
  const named = problems.slice(0, MAX_NAMED_PROBLEMS)
  const rest = problems.length - named.length
  const sentence = [...named, ...(rest > 0 ? [`and ${rest} more`] : [])].join('; ')
  throw dkgError(code, `${what} is refused: ${sentence}`, { data: { problems: named } })
}

const MAX_NAMED_PROBLEMS = 64

/** A field name out of foreign JSON, fit for a message: printable and short. */
const shortName = (name: string): string => (/^[ -~]{1,64}$/.test(name) ? name : `a name of ${name.length} characters`)
