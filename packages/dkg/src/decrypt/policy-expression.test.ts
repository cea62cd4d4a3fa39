import { concatBytes } from '@noble/hashes/utils.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../errors.ts'
import { attempt, u16, u8, varBytes } from '../primitives/codec.ts'
import {
  allOf,
  anyOf,
  decodePolicy,
  encodePolicy,
  MAX_POLICY_BYTES,
  type PolicyExpression,
  type Principal,
  satisfies,
} from './policy-expression.ts'

const ed25519 = (n: number): Principal => ({ kind: 'ed25519', key: new Uint8Array(32).fill(n) })
const ethereum = (n: number): Principal => ({ kind: 'ethereum', address: new Uint8Array(20).fill(n) })
const measurement = (n: number): Principal => ({ kind: 'measurement', hash: new Uint8Array(32).fill(n) })
const [alice, bob, carol] = [ed25519(1), ed25519(2), ethereum(3)]

const principal = fc.nat(255).chain((n) => fc.constantFrom(ed25519(n), ethereum(n), measurement(n)))
const expression = (depth: number): fc.Arbitrary<PolicyExpression> =>
  depth === 1
    ? principal
    : fc.oneof(
        principal,
        fc
          .uniqueArray(expression(depth - 1), {
            minLength: 1,
            maxLength: 3,
            selector: (inner) => JSON.stringify(inner),
          })
          .chain((expressions) =>
            fc.integer({ min: 1, max: expressions.length }).map((m) => ({ kind: 'of' as const, m, expressions })),
          ),
      )
const rawOf = (m: number, expressions: readonly Uint8Array[]): Uint8Array =>
  concatBytes(u8(16), u8(m), u16(expressions.length), ...expressions.map(varBytes))
const rawKey = (n: number): Uint8Array => concatBytes(u8(1), new Uint8Array(32).fill(n))
const chain = (levels: number): Uint8Array => (levels === 1 ? rawKey(1) : rawOf(1, [chain(levels - 1)]))

describe('policy encoding', () => {
  it('reads back what it wrote', () => {
    fc.assert(
      fc.property(expression(4), (value) => {
        const bytes = encodePolicy(value)
        expect(decodePolicy(bytes)).toEqual(value)
        expect(bytes.length).toBeLessThanOrEqual(MAX_POLICY_BYTES)
      }),
    )
  })

  it('has these bytes', () => {
    expect(encodePolicy(undefined)).toEqual(new Uint8Array(0))
    expect(decodePolicy(new Uint8Array(0))).toBeUndefined()
    expect(encodePolicy(carol)).toEqual(concatBytes(u8(2), new Uint8Array(20).fill(3)))
    expect(encodePolicy(anyOf([alice, bob]))).toEqual(rawOf(1, [rawKey(1), rawKey(2)]))
  })

  it('takes 32 principals in four levels and no more', () => {
    const leaves = (count: number): Uint8Array[] => Array.from({ length: count }, (_, n) => rawKey(n))
    const deepest = leaves(32).map((leaf) => rawOf(1, [rawOf(1, [leaf])]))
    expect(decodePolicy(rawOf(32, deepest))).toBeDefined()
    expect(rawOf(32, deepest).length).toBeLessThanOrEqual(MAX_POLICY_BYTES)
    expect(() => decodePolicy(rawOf(1, leaves(33)))).toThrow(KmsError)
    const split = [rawOf(1, leaves(32)), rawOf(1, [rawKey(99)])]
    expect(() => decodePolicy(rawOf(1, split))).toThrow(KmsError)
    expect(decodePolicy(chain(4))).toBeDefined()
    expect(() => decodePolicy(chain(5))).toThrow(KmsError)
    expect(() => decodePolicy(chain(40))).toThrow(KmsError)
  })

  it.each([
    ['an unknown kind', concatBytes(u8(4), new Uint8Array(32))],
    ['a short key', concatBytes(u8(1), new Uint8Array(31))],
    ['trailing bytes', concatBytes(rawKey(1), u8(0))],
    ['m = 0', rawOf(0, [rawKey(1)])],
    ['m above the list', rawOf(2, [rawKey(1)])],
    ['an empty list', rawOf(1, [])],
    ['the same principal twice', rawOf(2, [rawKey(1), rawKey(1)])],
    ['an inner length of 2^31', concatBytes(u8(16), u8(1), u16(1), Uint8Array.of(0x80, 0, 0, 0))],
    ['2049 bytes', new Uint8Array(MAX_POLICY_BYTES + 1)],
  ])('refuses %s', (_, bytes) => {
    expect(() => decodePolicy(bytes)).toThrow(expect.objectContaining({ code: 'bad-encoding' }))
  })

  it.each<[string, PolicyExpression]>([
    ['five levels', anyOf([anyOf([anyOf([anyOf([alice])])])])],
    ['33 principals', anyOf(Array.from({ length: 33 }, (_, n) => ed25519(n)))],
    ['an empty list', allOf([])],
    ['m above the list', { kind: 'of', m: 3, expressions: [alice, bob] }],
    ['a fractional m', { kind: 'of', m: 1.5, expressions: [alice, bob] }],
    ['a short key', { kind: 'ed25519', key: new Uint8Array(31) }],
    ['the same principal twice', allOf([alice, ed25519(1)])],
  ])('does not write %s', (_, value) => {
    expect(() => encodePolicy(value)).toThrow(expect.objectContaining({ code: 'bad-parameters' }))
  })

  it('is total: random bytes give an expression that writes the same bytes, or a KmsError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const decoded = attempt(() => decodePolicy(bytes))
        expect(decoded === undefined ? bytes : encodePolicy(decoded)).toEqual(bytes)
      }),
    )
  })
})

describe('satisfies', () => {
  const twoOf: PolicyExpression = { kind: 'of', m: 2, expressions: [alice, bob, carol] }
  const nested = anyOf([allOf([alice, measurement(7)]), carol])

  it.each<[string, PolicyExpression | undefined, readonly Principal[], boolean]>([
    ['nobody, where there is no expression', undefined, [alice, bob, carol], false],
    ['the one named', alice, [alice], true],
    ['the one named among others', alice, [bob, alice], true],
    ['another', alice, [bob], false],
    ['no one at all', alice, [], false],
    ['the same bytes as another kind', ed25519(5), [measurement(5)], false],
    ['one of two', anyOf([alice, bob]), [bob], true],
    ['one where two are asked for', twoOf, [bob], false],
    ['one who comes twice where two are asked for', twoOf, [bob, bob], false],
    ['two of three', twoOf, [alice, carol], true],
    ['half of the inner pair', nested, [alice], false],
    ['the inner pair', nested, [measurement(7), alice], true],
    ['the other branch', nested, [carol], true],
  ])('says whether by %s', (_, value, principals, expected) => {
    expect(satisfies(value, principals)).toBe(expected)
  })

  it('is yes for all who are named, and never turns into no when more come', () => {
    const setting = expression(4).chain((value) =>
      fc.record({ value: fc.constant(value), some: fc.subarray(leavesOf(value)), more: fc.array(principal) }),
    )
    fc.assert(
      fc.property(setting, ({ value, some, more }) => {
        expect(satisfies(value, leavesOf(value))).toBe(true)
        const before = Number(satisfies(value, some))
        expect(Number(satisfies(value, [...more, ...some]))).toBeGreaterThanOrEqual(before)
      }),
    )
  })
})

function leavesOf(value: PolicyExpression): Principal[] {
  return value.kind === 'of' ? value.expressions.flatMap(leavesOf) : [value]
}
