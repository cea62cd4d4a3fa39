import type { Dice } from '../model/dice.ts'

const INTERESTING_BYTES = [0x00, 0x01, 0x02, 0x03, 0x04, 0x10, 0x4e, 0x7f, 0x80, 0xfe, 0xff]
const INTERESTING_NUMBERS = [0, 1, 2, 255, 256, 257, 65_535, 65_536, 2 ** 20, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]
const FIELD_PRIME = Buffer.from('fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f', 'hex')
const ORDER = Buffer.from('fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141', 'hex')
const MAX_BYTES = 2 * 1024 * 1024

type Mutation = (bytes: Uint8Array, dice: Dice, others: readonly Uint8Array[]) => Uint8Array

const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))

/** A cut [from, to) of the bytes. */
function cut(bytes: Uint8Array, dice: Dice): readonly [number, number] {
  const from = dice.below(bytes.length + 1)
  return [from, from + dice.below(Math.min(bytes.length - from, 80) + 1)]
}

const noise = (dice: Dice, length: number): Uint8Array => Uint8Array.from({ length }, () => dice.below(256))

function overwrite(bytes: Uint8Array, at: number, patch: Uint8Array): Uint8Array {
  const out = Uint8Array.from(bytes)
  out.set(patch.subarray(0, Math.max(0, out.length - at)), at)
  return out
}

function number(dice: Dice, width: number, bytes: Uint8Array): Uint8Array {
  const out = Buffer.alloc(8)
  out.writeBigUInt64BE(
    BigInt(dice.chance(0.3) ? bytes.length + dice.within(-3, 3) + 4 : dice.pick(INTERESTING_NUMBERS)),
  )
  if (dice.chance(0.1)) out.fill(0xff)
  return new Uint8Array(out.subarray(8 - width))
}

/** Places that can be the u32 length of what follows them. */
function prefixes(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const found: number[] = []
  for (let at = 0; at + 4 <= bytes.length && found.length < 256; at++) {
    const length = view.getUint32(at)
    if (length > 0 && length <= bytes.length - at - 4) found.push(at)
  }
  return found
}

/** Changes the content behind a length prefix and the prefix with it, so that what encloses it still reads. */
const insideField: Mutation = (bytes, dice, others) => {
  const places = prefixes(bytes)
  if (places.length === 0) return bytes
  const at = dice.pick(places)
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at)
  const content = dice.pick(SIMPLE)(bytes.subarray(at + 4, at + 4 + length), dice, others)
  const prefix = Buffer.alloc(4)
  prefix.writeUInt32BE(content.length)
  return join(bytes.subarray(0, at), prefix, content, bytes.subarray(at + 4 + length))
}

const SIMPLE: readonly Mutation[] = [
  (bytes, dice) => overwrite(bytes, dice.below(bytes.length + 1), Uint8Array.of(dice.below(256))),
  (bytes, dice) => {
    const at = dice.below(bytes.length + 1)
    return overwrite(bytes, at, Uint8Array.of((bytes[at] ?? 0) ^ (1 << dice.below(8))))
  },
  (bytes, dice) => overwrite(bytes, dice.below(bytes.length + 1), Uint8Array.of(dice.pick(INTERESTING_BYTES))),
  (bytes, dice) => bytes.subarray(0, dice.below(bytes.length + 1)),
  (bytes, dice) => join(bytes, noise(dice, dice.within(1, 40))),
  (bytes, dice) => {
    const [from, to] = cut(bytes, dice)
    return join(bytes.subarray(0, from), bytes.subarray(to))
  },
  (bytes, dice) => {
    const [from, to] = cut(bytes, dice)
    return join(bytes.subarray(0, to), bytes.subarray(from))
  },
  (bytes, dice) => {
    const [from, middle] = cut(bytes, dice)
    const to = Math.min(bytes.length, middle + (middle - from))
    return join(bytes.subarray(0, from), bytes.subarray(middle, to), bytes.subarray(from, middle), bytes.subarray(to))
  },
  (bytes, dice, others) => {
    const other = dice.pick(others)
    const [from, to] = cut(other, dice)
    const at = dice.below(bytes.length + 1)
    return join(bytes.subarray(0, at), other.subarray(from, to), bytes.subarray(at))
  },
  (bytes, dice) => overwrite(bytes, dice.below(bytes.length + 1), number(dice, dice.pick([1, 2, 4, 8]), bytes)),
  (bytes, dice) => {
    const x = dice.pick([FIELD_PRIME, ORDER, Buffer.alloc(32), Buffer.alloc(32, 0xff)])
    const point = join(Uint8Array.of(dice.pick([0, 2, 3, 4, 6, 7])), x)
    return overwrite(bytes, dice.below(bytes.length + 1), dice.chance(0.5) ? point : x)
  },
]

const MUTATIONS: readonly Mutation[] = [...SIMPLE, insideField, insideField, insideField]

/** One to four changes of a seed; now and then none, or nothing but noise. */
export function mutate(dice: Dice, seeds: readonly Uint8Array[], others: readonly Uint8Array[]): Uint8Array {
  if (dice.chance(0.02)) return noise(dice, dice.below(300))
  let bytes = dice.pick(seeds)
  if (dice.chance(0.02)) return bytes
  for (let left = dice.within(1, 4); left > 0; left--) bytes = dice.pick(MUTATIONS)(bytes, dice, others)
  return Uint8Array.from(bytes.subarray(0, MAX_BYTES))
}
