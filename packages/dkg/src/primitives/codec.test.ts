import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../errors.ts'
import { attempt, decodeAll, equalBytes, list, Reader, requireAscending, u16, u32, u64, u8, varBytes } from './codec.ts'

const refused = (decode: () => unknown): string => {
  try {
    decode()
  } catch (error) {
    if (error instanceof KmsError) return error.code
    throw error
  }
  return 'accepted'
}

describe('canonical codec', () => {
  it('writes integers big-endian in their fixed width', () => {
    expect([...u8(255)]).toEqual([255])
    expect([...u16(258)]).toEqual([1, 2])
    expect([...u32(0x01020304)]).toEqual([1, 2, 3, 4])
    expect([...u64(2 ** 53 - 1)]).toEqual([0, 31, 255, 255, 255, 255, 255, 255])
  })

  for (const [name, encode, bad] of [
    ['u8', u8, 256],
    ['u16', u16, -1],
    ['u32', u32, 2 ** 32],
    ['u64', u64, 2 ** 53],
    ['u16 of a fraction', u16, 1.5],
  ] as const)
    it(`refuses ${name} out of range`, () => expect(refused(() => encode(bad))).toBe('bad-encoding'))

  it('reads back what it wrote', () => {
    fc.assert(
      fc.property(fc.nat(255), fc.nat(65535), fc.nat(), fc.maxSafeNat(), fc.uint8Array(), (a, b, c, d, e) => {
        const bytes = Uint8Array.from([...u8(a), ...u16(b), ...u32(c), ...u64(d), ...varBytes(e), ...list([a], u8)])
        const read = decodeAll(bytes, 'test', (reader) => [
          reader.u8('a'),
          reader.u16('b'),
          reader.u32('c'),
          reader.u64('d'),
          [...reader.var(1000, 'e')],
          reader.list({ min: 1, max: 1 }, 'f', (item) => item.u8('f')),
        ])
        expect(read).toEqual([a, b, c, d, [...e], [a]])
      }),
    )
  })

  it('refuses a length of 2^31 before it allocates, trailing bytes, short input and lists out of bounds', () => {
    expect(refused(() => new Reader(u32(2 ** 31)).var(2 ** 32, 'x'))).toBe('bad-encoding')
    expect(refused(() => decodeAll(Uint8Array.of(1, 2), 'x', (reader) => reader.u8('x')))).toBe('bad-encoding')
    expect(refused(() => new Reader(Uint8Array.of(1)).u16('x'))).toBe('bad-encoding')
    expect(refused(() => new Reader(u16(3)).list({ min: 0, max: 2 }, 'x', (item) => item.u8('x')))).toBe('bad-encoding')
    expect(refused(() => new Reader(u64(2 ** 53 - 1).fill(255)).u64('x'))).toBe('bad-encoding')
    expect(refused(() => new Reader(new Uint8Array(9)).rest(8, 'x'))).toBe('bad-encoding')
  })

  it('copies what it takes: a change of the input changes nothing', () => {
    const input = Uint8Array.of(1, 2)
    const taken = new Reader(input).take(2, 'x')
    input.fill(9)
    expect([...taken]).toEqual([1, 2])
  })

  it('wants lists of members ascending without duplicates', () => {
    expect(refused(() => requireAscending([1, 2, 9], 'x'))).toBe('accepted')
    expect(refused(() => requireAscending([1, 1], 'x'))).toBe('bad-encoding')
    expect(refused(() => requireAscending([2, 1], 'x'))).toBe('bad-encoding')
  })

  it('turns only its own errors into undefined', () => {
    expect(attempt(() => new Reader(new Uint8Array()).u8('x'))).toBeUndefined()
    expect(() =>
      attempt(() => {
        throw new TypeError('a bug')
      }),
    ).toThrow(TypeError)
  })

  it('compares bytes of equal length only', () => {
    expect(equalBytes(Uint8Array.of(1), Uint8Array.of(1))).toBe(true)
    expect(equalBytes(Uint8Array.of(1), Uint8Array.of(1, 0))).toBe(false)
    expect(equalBytes(Uint8Array.of(1), Uint8Array.of(2))).toBe(false)
  })
})
