import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { attempt } from '../primitives/codec.ts'
import { nobleCurve } from '../primitives/noble-curve.ts'
import { participantIndex } from '../primitives/point.ts'
import { secretScalar } from '../primitives/scalar.ts'
import { Secret } from '../primitives/secret.ts'
import {
  type BatchContent,
  decodeBatch,
  decodeSingle,
  encodeBatch,
  encodeSingle,
  MAX_BATCH_CONTENT_BYTES,
  openBatch,
  sealBatch,
  SINGLE_CONTENT_BYTES,
  splitBox,
} from './box.ts'

const curve = nobleCurve
const bytes32 = (name: string): Uint8Array => sha256(utf8ToBytes(name))
const D = curve.mulBaseSecret(secretScalar(5n))
const proof = new Uint8Array(64).fill(7)
const single = { index: participantIndex(3), D, proof }
const batch: BatchContent = {
  index: participantIndex(0xffff),
  items: [
    { kind: 'partial', D, proof },
    { kind: 'refusal', code: 'bad-header-proof' },
    { kind: 'partial', D: curve.generator, proof },
  ],
}
const key = (): Secret => new Secret(bytes32('box key'))
const ctx = bytes32('ctx')
const codeOf = (code: string): unknown => expect.objectContaining({ code })

describe('the content of a single box', () => {
  const bytes = encodeSingle(single)

  it('has 99 bytes and reads back', () => {
    expect(bytes.length).toBe(99)
    expect(SINGLE_CONTENT_BYTES).toBe(99)
    expect(decodeSingle(curve, bytes)).toEqual(single)
  })

  it.each([
    ['98 bytes', bytes.slice(1), 'bad-point'],
    ['100 bytes', concatBytes(bytes, Uint8Array.of(0)), 'bad-encoding'],
    ['no bytes', new Uint8Array(0), 'bad-encoding'],
    ['index 0', bytes.map((byte, at) => (at < 2 ? 0 : byte)), 'bad-index'],
    ['a point that is none', bytes.map((byte, at) => (at === 2 ? 4 : byte)), 'bad-point'],
  ])('refuses %s', (_, changed, code) => {
    expect(() => decodeSingle(curve, changed)).toThrow(codeOf(code))
  })

  it('is not written with a proof of another length', () => {
    expect(() => encodeSingle({ ...single, proof: new Uint8Array(63) })).toThrow(codeOf('bad-box'))
  })
})

describe('the content of a batch', () => {
  const bytes = encodeBatch(batch)

  it('reads back, refusals in their places', () => {
    expect(bytes.length).toBe(2 + 2 + 98 + 1 + 98)
    expect(decodeBatch(curve, bytes)).toEqual(batch)
  })

  it('holds 256 items within its cap', () => {
    const full: BatchContent = { ...batch, items: Array.from({ length: 256 }, () => ({ kind: 'partial', D, proof })) }
    expect(encodeBatch(full).length).toBe(MAX_BATCH_CONTENT_BYTES)
    expect(decodeBatch(curve, encodeBatch(full)).items.length).toBe(256)
    expect(() => encodeBatch({ ...batch, items: [...full.items, ...full.items] })).toThrow(codeOf('bad-box'))
    expect(() => encodeBatch({ ...batch, items: [] })).toThrow(codeOf('bad-box'))
  })

  it.each([
    ['an unknown status', bytes.map((byte, at) => (at === 4 + 98 ? 200 : byte)), 'bad-box'],
    ['65535 items', bytes.map((byte, at) => (at === 2 || at === 3 ? 0xff : byte)), 'bad-encoding'],
    ['no items', bytes.map((byte, at) => (at === 3 ? 0 : byte)), 'bad-encoding'],
    ['trailing bytes', concatBytes(bytes, Uint8Array.of(0)), 'bad-encoding'],
  ])('refuses %s', (_, changed, code) => {
    expect(() => decodeBatch(curve, changed)).toThrow(codeOf(code))
  })

  it('is total', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(bytes.length), (noise, keep) => {
        const mutated = concatBytes(bytes.slice(0, keep), noise)
        const decoded = attempt(() => decodeBatch(curve, mutated))
        expect(decoded === undefined ? mutated : encodeBatch(decoded)).toEqual(mutated)
      }),
    )
  })
})

describe('the sealed part of a batch box', () => {
  const content = encodeBatch(batch)
  const sealed = sealBatch(key(), ctx, content)

  it('opens under its key and context only', () => {
    expect(openBatch(key(), ctx, sealed)).toEqual(content)
    expect(() => openBatch(key(), bytes32('other ctx'), sealed)).toThrow(codeOf('bad-box'))
    expect(() => openBatch(new Secret(bytes32('other key')), ctx, sealed)).toThrow(codeOf('bad-box'))
    expect(() =>
      openBatch(
        key(),
        ctx,
        sealed.map((byte, at) => (at === 0 ? byte ^ 1 : byte)),
      ),
    ).toThrow(codeOf('bad-box'))
    expect(() => openBatch(key(), ctx, sealed.slice(1))).toThrow(codeOf('bad-box'))
    expect(() => openBatch(key(), ctx, new Uint8Array(15))).toThrow(codeOf('bad-box'))
    expect(() => openBatch(key(), ctx, new Uint8Array(MAX_BATCH_CONTENT_BYTES + 17))).toThrow(codeOf('bad-box'))
  })

  it('takes no key of another length', () => {
    expect(() => sealBatch(new Secret(new Uint8Array(16)), ctx, content)).toThrow(codeOf('bad-parameters'))
  })

  it('comes behind an RSA block as long as the modulus', () => {
    const rsaBlock = new Uint8Array(256).fill(1)
    expect(splitBox(concatBytes(rsaBlock, sealed), 256)).toEqual({ rsaBlock, sealed })
    expect(() => splitBox(new Uint8Array(256 + 15), 256)).toThrow(codeOf('bad-box'))
    expect(() => splitBox(new Uint8Array(1 << 20), 256)).toThrow(codeOf('bad-box'))
  })
})
