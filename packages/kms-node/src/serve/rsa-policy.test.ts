import { constants, generateKeyPairSync, privateDecrypt } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { hasCloseFactors, hasSmallFactor, integerSqrt, isRocaModulus, isSquare } from './rsa-numbers.ts'
import { createRsaPolicy, findRsaWeakness, wrapOaep } from './rsa-policy.ts'
import { parseRsaSpki } from './rsa-spki.ts'

const vectors = process.env['TKMS_VECTORS'] ?? fileURLToPath(new URL('../../../../../shared/vectors', import.meta.url))
const MODULUS_2048 = (0xc1n << 2040n) | 0x123456789abcdef1n

const header = (tag: number, content: Buffer): Buffer => {
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}
const integer = (value: bigint): Buffer => {
  const hex = value.toString(16)
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
  return header(2, (bytes[0] ?? 0) < 0x80 ? bytes : Buffer.concat([Buffer.from([0]), bytes]))
}
const algorithm = Buffer.from('300d06092a864886f70d0101010500', 'hex')
const spkiOf = (modulus: bigint, exponent = 65_537n): Buffer => {
  const key = header(0x30, Buffer.concat([integer(modulus), integer(exponent)]))
  return header(0x30, Buffer.concat([algorithm, header(3, Buffer.concat([Buffer.from([0]), key]))]))
}
const realSpki = (modulusLength: number): Buffer =>
  generateKeyPairSync('rsa', { modulusLength }).publicKey.export({ format: 'der', type: 'spki' })
const numbersOf = (spki: Uint8Array): bigint => parseRsaSpki(spki)?.modulus ?? 0n
/** The first odd number at or above `start` without a factor below 2^14. */
const rough = (start: bigint): bigint => {
  let n = start | 1n
  while (hasSmallFactor(n)) n += 2n
  return n
}

describe('RSA policy', () => {
  const good = realSpki(2048)

  it('accepts keys as node:crypto makes them, and boxes to them', () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const policy = createRsaPolicy({ maxEntries: 2 })
    const verdict = policy.check(publicKey.export({ format: 'der', type: 'spki' }))
    if (verdict.kind !== 'accepted') throw new Error('refused')
    expect(verdict.modulusBytes).toBe(256)
    const box = wrapOaep(verdict.key, Buffer.alloc(99, 7))
    const opened = privateDecrypt(
      { key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
      box,
    )
    expect(opened).toEqual(Buffer.alloc(99, 7))
  })

  it('row 39: accepts 2048, 3072, 4096 and 8192 bits', () => {
    expect(findRsaWeakness(good)).toBeUndefined()
    expect(findRsaWeakness(realSpki(3072))).toBeUndefined()
    for (const bits of [4096n, 8192n])
      expect(findRsaWeakness(spkiOf(rough((0xc1n << (bits - 8n)) | 12_345n)))).toBeUndefined()
  })

  it.each([512, 1024, 1536, 1792, 2047, 8193, 16_384])('row 39: refuses a modulus of %i bits', (bits) => {
    expect(findRsaWeakness(spkiOf((1n << BigInt(bits - 1)) | 1n))).toBe('modulus-size')
  })

  it.each([1n, 2n, 3n, 17n, 65_536n, 65_539n, (1n << 256n) | 1n])('row 40: refuses the exponent %i', (exponent) => {
    expect(findRsaWeakness(spkiOf(numbersOf(good), exponent))).toBe('exponent')
  })

  it('row 40: refuses an even, a square, a smooth and a Fermat modulus', () => {
    const p = rough((1n << 1023n) + (1n << 1022n) + 12_345n)
    expect(findRsaWeakness(spkiOf(MODULUS_2048 + 1n))).toBe('even-modulus')
    expect(findRsaWeakness(spkiOf(p * p))).toBe('square-modulus')
    expect(findRsaWeakness(spkiOf(rough(1n << 2040n) * 16_381n))).toBe('small-factor')
    expect(findRsaWeakness(spkiOf(p * rough(p + 2n)))).toBe('close-factors')
    expect(findRsaWeakness(spkiOf(p * rough(p + (1n << 516n))))).toBe('close-factors')
    expect(hasCloseFactors(p * rough(p + (1n << 700n)))).toBe(false)
  })

  it('reads only the one strict encoding', () => {
    const modulus = numbersOf(good)
    expect(Buffer.from(spkiOf(modulus))).toEqual(good)
    const withByte = (at: number, value: number): Buffer => {
      const changed = Buffer.from(good)
      changed[at] = value
      return changed
    }
    const trailing = Buffer.concat([good, Buffer.from([0])])
    const padded = Buffer.concat([good.subarray(0, 2), Buffer.from([0, 0]), good.subarray(4)])
    const longForm = Buffer.concat([Buffer.from([0x30, 0x83, 0]), good.subarray(2)])
    const ellipticCurve = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({
      format: 'der',
      type: 'spki',
    })
    const pss = withByte(14, 10)
    const unusedBits = withByte(23, 1)
    const negative = spkiOf(modulus)
    negative[28] = 0xff
    for (const spki of [
      trailing,
      padded,
      longForm,
      ellipticCurve,
      pss,
      unusedBits,
      Buffer.alloc(0),
      good.subarray(0, 200),
    ])
      expect(findRsaWeakness(spki)).toBe('not-spki')
  })

  it('never throws for any bytes', () => {
    const policy = createRsaPolicy({ maxEntries: 4 })
    for (let at = 0; at < good.length; at++) {
      const changed = Buffer.from(good)
      changed[at] = (changed[at] ?? 0) ^ 0xff
      const probe = at < 40 ? changed : good.subarray(1)
      expect(['accepted', 'refused']).toContain(policy.check(probe).kind)
      expect(['accepted', 'refused']).toContain(policy.check(good.subarray(0, at)).kind)
    }
  })
})

describe('numbers', () => {
  it('takes roots and knows squares', () => {
    for (const n of [0n, 1n, 2n, 3n, 4n, 15n, 16n, 17n, 10n ** 40n, 10n ** 40n - 1n]) {
      const root = integerSqrt(n)
      expect(root * root <= n && (root + 1n) * (root + 1n) > n).toBe(true)
      expect(isSquare(n)).toBe(root * root === n)
    }
  })
})

describe.skipIf(!existsSync(vectors))('ROCA vectors', () => {
  it.each([
    ['01', true],
    ['02', true],
    ['03', true],
    ['04', false],
    ['05', false],
    ['06', false],
    ['07', false],
    ['08', true],
    ['09', true],
  ])('row 41: mod%s.txt: %s', (name, vulnerable) => {
    const modulus = BigInt(readFileSync(join(vectors, `roca/mod${name}.txt`), 'utf8').trim())
    expect(isRocaModulus(modulus)).toBe(vulnerable)
  })

  it('row 41: refuses a vulnerable key of a sound size', () => {
    const modulus = BigInt(readFileSync(join(vectors, 'roca/mod09.txt'), 'utf8').trim())
    expect(findRsaWeakness(spkiOf(modulus))).toBe('roca')
  })
})
