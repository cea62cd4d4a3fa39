import { type Curve, decodePoint, encodeScalar, KmsError, nobleCurve, ORDER, type PointBytes, Secret } from '@tkms/dkg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { loadNativeCurve } from './select-curve.ts'

const loaded = loadNativeCurve()
const edges = [1n, 2n, 3n, ORDER - 1n, ORDER - 2n, (ORDER - 1n) / 2n, (ORDER + 1n) / 2n]
const scalars = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom(...edges) },
  { weight: 3, arbitrary: fc.bigInt({ min: 1n, max: ORDER - 1n }) },
)
const factors = fc.oneof(fc.constantFrom(0n, 1n, ORDER - 1n), fc.bigInt({ min: 0n, max: ORDER - 1n }))
const points = scalars.map((scalar) => nobleCurve.mulBaseSecret(secret(scalar)))
const runs = { numRuns: 40 }

function secret(scalar: bigint): Secret {
  return new Secret(encodeScalar(scalar))
}

const bytesOf = (value: bigint): Uint8Array =>
  Uint8Array.from((value.toString(16).padStart(64, '0').match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16)))

function negated(point: PointBytes): PointBytes {
  const out = Uint8Array.from(point) as PointBytes
  out[0] = 5 - (out[0] ?? 0)
  return out
}

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof KmsError) return error.code
    throw error
  }
  return 'no error'
}

describe.skipIf(loaded === undefined)('the libsecp256k1 backend agrees with noble', () => {
  const native = loaded as Curve

  it('names itself and the same generator', () => {
    expect(native.backend).toBe('libsecp256k1')
    expect(native.generator).toEqual(nobleCurve.generator)
  })

  it('multiplies points and the generator by secrets', () => {
    fc.assert(
      fc.property(points, scalars, (point, scalar) => {
        expect(native.mulSecret(point, secret(scalar))).toEqual(nobleCurve.mulSecret(point, secret(scalar)))
        expect(native.mulBaseSecret(secret(scalar))).toEqual(nobleCurve.mulBaseSecret(secret(scalar)))
      }),
      runs,
    )
  })

  it('computes proof responses, also the response zero', () => {
    fc.assert(
      fc.property(factors, scalars, scalars, fc.boolean(), (factor, a, other, cancel) => {
        const product = (factor * a) % ORDER
        const b = cancel && product !== 0n ? ORDER - product : other
        const expected = nobleCurve.mulAddSecret(factor, secret(a), secret(b))
        expect(native.mulAddSecret(factor, secret(a), secret(b))).toEqual(expected)
        if (cancel && product !== 0n) expect(expected).toEqual(new Uint8Array(32))
      }),
      runs,
    )
  })

  it('sums points, also to the identity', () => {
    fc.assert(
      fc.property(fc.array(points, { maxLength: 5 }), fc.boolean(), (list, cancel) => {
        const all = cancel ? [...list, ...list.map(negated)] : list
        expect(native.sum(all)).toEqual(nobleCurve.sum(all))
        if (cancel) expect(native.sum(all)).toBeUndefined()
      }),
      runs,
    )
  })

  it('combines linearly, with factors 0 and cancelling terms', () => {
    const terms = fc.array(fc.record({ scalar: factors, point: fc.oneof(points, fc.constant(nobleCurve.generator)) }), {
      maxLength: 4,
    })
    fc.assert(
      fc.property(terms, fc.boolean(), (list, cancel) => {
        const all = cancel ? [...list, ...list.map(({ scalar, point }) => ({ scalar, point: negated(point) }))] : list
        expect(native.linearCombination(all)).toEqual(nobleCurve.linearCombination(all))
      }),
      runs,
    )
  })

  /** N + 2 is the least x of a point at or above N. */
  const beyondOrder = decodePoint(nobleCurve, Uint8Array.of(2, ...bytesOf(ORDER + 2n)))

  it('finds the point of a nonce again, on G and on other bases', () => {
    const bases = fc.oneof(points, fc.constant(nobleCurve.generator))
    const any32 = fc.oneof(
      factors.map(encodeScalar),
      fc.constantFrom(bytesOf(ORDER), bytesOf(ORDER + 1n), new Uint8Array(32).fill(255)),
    )
    const known = fc.oneof({ weight: 9, arbitrary: points }, { weight: 1, arbitrary: fc.constant(beyondOrder) })
    fc.assert(
      fc.property(bases, known, factors.map(encodeScalar), any32, (base, point, response, challenge) => {
        const proof = { base, point, response, challenge }
        const expected = nobleCurve.proofCommitment(proof)
        expect(native.proofCommitment(proof)).toEqual(expected)
        // Decoded points are computed with in another form.
        decodePoint(native, base)
        decodePoint(native, point)
        expect(native.proofCommitment(proof)).toEqual(expected)
      }),
      { numRuns: 80 },
    )
  })

  it('says when the point of a nonce is the identity, and refuses numbers of a wrong size', () => {
    for (const curve of [native, nobleCurve])
      for (const base of [curve.generator, curve.mulBaseSecret(secret(7n))]) {
        const point = curve.mulSecret(base, secret(3n))
        const [challenge, response] = [encodeScalar(5n), encodeScalar(15n)]
        expect(curve.proofCommitment({ base, point, response, challenge })).toBeUndefined()
        for (const bad of [bytesOf(ORDER), response.slice(1), new Uint8Array(33)])
          expect(codeOf(() => curve.proofCommitment({ base, point, response: bad, challenge }))).toBe('bad-scalar')
        for (const bad of [challenge.slice(1), new Uint8Array(33)])
          expect(codeOf(() => curve.proofCommitment({ base, point, response, challenge: bad }))).toBe('bad-scalar')
      }
  })

  it('computes with the bytes that a decoded point has now', () => {
    const point = nobleCurve.mulBaseSecret(secret(9n))
    expect(native.isPoint(point)).toBe(true)
    point.set(nobleCurve.mulBaseSecret(secret(10n)))
    expect(native.mulSecret(point, secret(2n))).toEqual(nobleCurve.mulBaseSecret(secret(20n)))
    point.set(negated(point))
    expect(native.mulSecret(point, secret(2n))).toEqual(negated(nobleCurve.mulBaseSecret(secret(20n))))
    const made = native.mulSecret(native.generator, secret(3n))
    made.set(nobleCurve.mulBaseSecret(secret(10n)))
    expect(native.mulSecret(made, secret(2n))).toEqual(nobleCurve.mulBaseSecret(secret(20n)))
    expect(() => native.mulSecret(made.slice(1) as PointBytes, secret(2n))).toThrow(/public key/i)
    point.set(encodeScalar(5n), 1)
    expect(native.isPoint(point)).toBe(false)
  })

  it('evaluates commitments at small indices, also through the identity', () => {
    const indices = fc.oneof(fc.constantFrom(1, 2, 64, 65535), fc.integer({ min: 1, max: 65535 }))
    fc.assert(
      fc.property(fc.array(points, { maxLength: 10 }), indices, fc.boolean(), (list, x, root) => {
        const scaled = list[0] && nobleCurve.linearCombination([{ scalar: BigInt(x), point: list[0] }])
        const coefficients = root && list[0] && scaled ? [negated(scaled), list[0]] : list
        expect(native.evaluate(coefficients, x)).toEqual(nobleCurve.evaluate(coefficients, x))
        if (coefficients !== list) expect(native.evaluate(coefficients, x)).toBeUndefined()
      }),
      runs,
    )
  })

  it('evaluates commitments whose higher coefficients cancel each other', () => {
    const { generator } = nobleCurve
    const times = (factor: bigint) => nobleCurve.linearCombination([{ scalar: factor, point: generator }]) as PointBytes
    // At x = 3 the fourth and fifth give 0, and in the second list each pair does.
    const cancelling = [times(5n), times(3n), negated(generator), times(7n), negated(times(3n)), generator]
    expect(native.evaluate(cancelling, 3)).toEqual(nobleCurve.evaluate(cancelling, 3))
    const vanishing = [times(3n), negated(generator), times(9n), negated(times(3n)), times(3n), negated(generator)]
    expect(native.evaluate(vanishing, 3)).toBeUndefined()
    expect(nobleCurve.evaluate(vanishing, 3)).toBeUndefined()
  })

  it('names a coefficient that is not a point instead of calling the value the identity', () => {
    const forged = Uint8Array.of(2, ...encodeScalar(5n)) as PointBytes
    for (const coefficients of [
      [forged, native.generator],
      [native.generator, forged],
    ])
      expect(codeOf(() => native.evaluate(coefficients, 2))).toBe('bad-point')
  })

  it('accepts the same encodings of 33 bytes as points', () => {
    const lead = fc.oneof(fc.constantFrom(0, 2, 3, 4, 5, 6, 7), fc.nat(255))
    const random = fc.tuple(lead, fc.uint8Array({ minLength: 32, maxLength: 32 }))
    fc.assert(
      fc.property(
        fc.oneof(
          random.map(([first, x]) => Uint8Array.of(first, ...x)),
          points,
        ),
        (bytes) => {
          expect(native.isPoint(bytes)).toBe(nobleCurve.isPoint(bytes))
        },
      ),
      { numRuns: 200 },
    )
  })

  it('refuses every other length, uncompressed and hybrid forms among them', () => {
    const hybrid = Uint8Array.of(6, ...new Uint8Array(64))
    for (const bytes of [new Uint8Array(0), new Uint8Array(1), new Uint8Array(32), new Uint8Array(65), hybrid])
      expect(native.isPoint(bytes)).toBe(false)
    expect(codeOf(() => decodePoint(native, new Uint8Array(33)))).toBe('bad-point')
  })

  it('refuses scalars outside 1..N-1 like noble', () => {
    const bad = [
      new Uint8Array(32),
      new Uint8Array(32).fill(255),
      new Uint8Array(31).fill(1),
      new Uint8Array(33).fill(1),
    ]
    for (const bytes of bad)
      for (const curve of [native, nobleCurve]) {
        const good = secret(1n)
        expect(codeOf(() => curve.mulSecret(curve.generator, Secret.copyOf(bytes)))).toBe('bad-scalar')
        expect(codeOf(() => curve.mulBaseSecret(Secret.copyOf(bytes)))).toBe('bad-scalar')
        expect(codeOf(() => curve.mulAddSecret(1n, Secret.copyOf(bytes), good))).toBe('bad-scalar')
        expect(codeOf(() => curve.mulAddSecret(1n, good, Secret.copyOf(bytes)))).toBe('bad-scalar')
      }
    for (const scalar of [-1n, ORDER])
      for (const curve of [native, nobleCurve])
        expect(codeOf(() => curve.linearCombination([{ scalar, point: curve.generator }]))).toBe('bad-scalar')
  })

  it('names a summand that is not a point instead of calling the sum the identity', () => {
    const forged = Uint8Array.of(2, ...encodeScalar(5n)) as PointBytes
    expect(native.isPoint(forged)).toBe(false)
    expect(codeOf(() => native.sum([native.generator, forged]))).toBe('bad-point')
  })

  it('does not compute with a destroyed secret, and leaves a lent one as it was', () => {
    const gone = secret(5n)
    gone.destroy()
    const kept = secret(7n)
    expect(codeOf(() => native.mulSecret(native.generator, gone))).toBe('secret-destroyed')
    expect(codeOf(() => native.mulBaseSecret(gone))).toBe('secret-destroyed')
    expect(codeOf(() => native.mulAddSecret(2n, kept, gone))).toBe('secret-destroyed')
    native.mulAddSecret(2n, kept, kept)
    native.mulSecret(native.generator, kept)
    expect(kept.use((bytes) => Uint8Array.from(bytes))).toEqual(encodeScalar(7n))
  })

  it('hashes the same, parts of any number and length', () => {
    const parts = fc.array(fc.uint8Array({ maxLength: 700 }), { maxLength: 5 })
    fc.assert(
      fc.property(parts, (list) => {
        const expected = nobleCurve.sha256(...list)
        expect(native.sha256(...list)).toEqual(expected)
        expect(native.sha256(...list)).not.toBe(native.sha256(...list))
      }),
      { numRuns: 200 },
    )
  })

  it('verifies the same possession proofs, for keys of either parity', () => {
    const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
    fc.assert(
      fc.property(scalars, bytes32, bytes32, fc.nat(63), (scalar, message, aux, at) => {
        const point = nobleCurve.mulBaseSecret(secret(scalar))
        const signature = native.signPossession(secret(scalar), message, aux)
        expect(native.verifyPossession(point, message, signature)).toBe(true)
        expect(native.verifyPossession(negated(point), message, signature)).toBe(true)
        const mauled = Uint8Array.from(signature)
        mauled[at] = (mauled[at] ?? 0) ^ 1
        expect(native.verifyPossession(point, message, mauled)).toBe(
          nobleCurve.verifyPossession(point, message, mauled),
        )
        expect(native.verifyPossession(point, message, signature.subarray(1))).toBe(false)
      }),
      { numRuns: 15 },
    )
  })
})
