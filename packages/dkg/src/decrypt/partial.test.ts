import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../errors.ts'
import { nobleCurve } from '../primitives/noble-curve.ts'
import { decodePoint, participantIndex } from '../primitives/point.ts'
import { secretScalar } from '../primitives/scalar.ts'
import type { Secret } from '../primitives/secret.ts'
import type { KeyId, PointBytes, SharingId } from '../primitives/types.ts'
import type { Curve } from '../primitives/curve.ts'
import { CONTEXT_BYTES, createPartial, type PartialContext, pdecContext, verifyPartial } from './partial.ts'

const curve = nobleCurve
const bytes32 = (name: string): Uint8Array => sha256(utf8ToBytes(name))
const point = (n: bigint): PointBytes => curve.mulBaseSecret(secretScalar(n))

const context: PartialContext = {
  purpose: 'ecies-dec',
  keyId: bytes32('key') as KeyId,
  epoch: 3,
  sharingId: bytes32('sharing') as SharingId,
  index: participantIndex(2),
  requestId: bytes32('request id'),
  requestHash: bytes32('request'),
}
const ctx = pdecContext(context)
const share = secretScalar(0x1234n)
const K = point(99n)
const Y = point(0x1234n)
const made = createPartial(curve, { share, K, ctx, aux: bytes32('aux') })
const good = { verificationShare: Y, K, D: made.D, proof: made.proof, ctx }

describe('the context of a partial', () => {
  it('has 137 bytes in this order', () => {
    expect(ctx.length).toBe(CONTEXT_BYTES)
    expect(ctx).toEqual(
      concatBytes(
        Uint8Array.of(0, 1, 1),
        context.keyId,
        Uint8Array.of(0, 0, 0, 3),
        context.sharingId,
        Uint8Array.of(0, 2),
        context.requestId,
        context.requestHash,
      ),
    )
  })

  it('takes no id of another length', () => {
    expect(() => pdecContext({ ...context, requestId: new Uint8Array(31) })).toThrow(KmsError)
  })
})

const negative = (value: PointBytes): PointBytes => value.map((byte, at) => (at === 0 ? byte ^ 1 : byte)) as PointBytes

describe('a partial decryption', () => {
  it('is the share times K', () => {
    expect(made.D).toEqual(point(0x1234n * 99n))
    expect(verifyPartial(curve, good)).toBe(true)
  })

  it('is the same when the verification share is given, and none when it is not that of the share', () => {
    const input = { share, K, ctx, aux: bytes32('aux') }
    expect(createPartial(curve, { ...input, verificationShare: Y })).toEqual(made)
    for (const verificationShare of [point(0x1235n), negative(Y), K, made.D])
      expect(() => createPartial(curve, { ...input, verificationShare })).toThrow(
        expect.objectContaining({ code: 'self-check-failed' }),
      )
  })

  it.each<[string, Partial<PartialContext>]>([
    ['purpose', { purpose: 'ckd-dprf' }],
    ['key', { keyId: bytes32('other') as KeyId }],
    ['epoch', { epoch: 4 }],
    ['sharing', { sharingId: bytes32('other') as SharingId }],
    ['node', { index: participantIndex(3) }],
    ['request id', { requestId: bytes32('other') }],
    ['request', { requestHash: bytes32('other') }],
  ])('row 36: does not verify for another %s', (_, change) => {
    expect(verifyPartial(curve, { ...good, ctx: pdecContext({ ...context, ...change }) })).toBe(false)
  })

  it('row 36: does not verify for a context with any one byte changed', () => {
    for (let at = 0; at < ctx.length; at += 17) {
      const changed = ctx.map((byte, position) => (position === at ? byte ^ 0x80 : byte))
      expect(verifyPartial(curve, { ...good, ctx: changed })).toBe(false)
    }
  })

  it.each([
    ['another K', { K: point(98n) }],
    ['-K', { K: negative(K) }],
    ['K = G', { K: curve.generator }],
    ['K = Y', { K: Y }],
    ['another D', { D: point(5n) }],
    ['-D', { D: negative(made.D) }],
    ['another verification share', { verificationShare: point(0x1235n) }],
    ['a proof for another key, offered with its own share', { verificationShare: point(7n) }],
    ['a proof of 63 bytes', { proof: made.proof.slice(1) }],
    ['a proof of 65 bytes', { proof: concatBytes(made.proof, Uint8Array.of(0)) }],
    ['a response of N or more', { proof: concatBytes(made.proof.slice(0, 32), new Uint8Array(32).fill(0xff)) }],
    ['a proof of zeros', { proof: new Uint8Array(64) }],
    ['a changed challenge', { proof: made.proof.map((byte, at) => (at === 0 ? byte ^ 1 : byte)) }],
    ['a changed response', { proof: made.proof.map((byte, at) => (at === 63 ? byte ^ 1 : byte)) }],
  ])('rows 34 and 35: does not verify with %s', (_, change) => {
    expect(verifyPartial(curve, { ...good, ...change })).toBe(false)
  })

  it('touches the share only through the constant-time multiplications of the curve', () => {
    const calls: string[] = []
    const counting: Curve = {
      ...curve,
      mulSecret: (base, k) => (calls.push(k === share ? 'share*K' : 'nonce*K'), curve.mulSecret(base, k)),
      mulBaseSecret: (k) => (calls.push(k === share ? 'share*G' : 'nonce*G'), curve.mulBaseSecret(k)),
    }
    createPartial(counting, { share, K, ctx, aux: bytes32('aux') })
    expect(calls.splice(0)).toEqual(['share*G', 'share*K', 'nonce*G', 'nonce*K'])
    createPartial(counting, { share, verificationShare: Y, K, ctx, aux: bytes32('aux') })
    expect(calls).toEqual(['share*K', 'nonce*G', 'nonce*K'])
  })

  it('row 46: uses another nonce for every context, also when the random source is stuck', () => {
    const other = createPartial(curve, {
      share,
      K,
      ctx: pdecContext({ ...context, requestId: bytes32('next') }),
      aux: bytes32('aux'),
    })
    expect(other.D).toEqual(made.D)
    expect(other.proof.slice(0, 32)).not.toEqual(made.proof.slice(0, 32))
    expect(other.proof.slice(32)).not.toEqual(made.proof.slice(32))
  })

  it('refuses a share that was wiped', () => {
    const gone: Secret = secretScalar(5n)
    gone.destroy()
    expect(() => createPartial(curve, { share: gone, K, ctx, aux: bytes32('aux') })).toThrow(
      expect.objectContaining({ code: 'secret-destroyed' }),
    )
  })
})

describe('K from outside', () => {
  const P = 2n ** 256n - 2n ** 32n - 977n
  const hex = (value: bigint): Uint8Array =>
    Uint8Array.from((value.toString(16).padStart(64, '0').match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16)))
  const x = K.slice(1)

  it.each([
    ['nothing', new Uint8Array(0)],
    ['the identity', Uint8Array.of(0)],
    ['the identity, padded', new Uint8Array(33)],
    ['off the curve', concatBytes(Uint8Array.of(2), hex(5n))],
    ['x = p', concatBytes(Uint8Array.of(2), hex(P))],
    ['x = p + 1, which means 1', concatBytes(Uint8Array.of(2), hex(P + 1n))],
    ['x = 2^256 - 1', concatBytes(Uint8Array.of(3), new Uint8Array(32).fill(0xff))],
    ['a prefix of 04', concatBytes(Uint8Array.of(4), x)],
    ['a hybrid prefix of 06', concatBytes(Uint8Array.of(6), x)],
    ['a hybrid prefix of 07', concatBytes(Uint8Array.of(7), x)],
    ['32 bytes', x],
    ['34 bytes', concatBytes(K, Uint8Array.of(0))],
    ['65 bytes, uncompressed', concatBytes(Uint8Array.of(4), x, x)],
    ['65 bytes, hybrid', concatBytes(Uint8Array.of(6), x, x)],
  ])('is refused: %s', (_, bytes) => {
    expect(() => decodePoint(curve, bytes, 'K')).toThrow(expect.objectContaining({ code: 'bad-point' }))
  })

  it('is taken when it is a point', () => {
    expect(decodePoint(curve, Uint8Array.from(K), 'K')).toEqual(K)
  })
})
