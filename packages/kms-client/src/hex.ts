import { clientError } from './errors.ts'

const HEX = /^0x(?:[0-9a-f]{2})*$/i

/**
 * "0x" and the hex of exactly `length` bytes.
 * @param field its name in the error
 * @throws KmsError `bad-argument`
 */
export function parseHex(text: string, length: number, field: string): Uint8Array {
  if (!HEX.test(text) || text.length !== 2 + 2 * length)
    throw clientError('bad-argument', `${field} is "0x" and the hex of ${length} bytes`, { data: { field } })
  return Uint8Array.from({ length }, (_, at) => Number.parseInt(text.slice(2 + 2 * at, 4 + 2 * at), 16))
}
