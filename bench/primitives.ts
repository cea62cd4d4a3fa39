import { generateKeyPairSync, hash, randomBytes, sign, verify } from 'node:crypto'
import { gcm } from '@noble/ciphers/aes.js'
import { ed25519 } from '@noble/curves/ed25519.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { hashToCurve } from '@tkms/dkg'
import library from 'secp256k1/bindings.js'
import { seal, secretMultiply, wrap } from './floor.ts'
import { createSampler } from './statistics.ts'

/** What one operation costs, without anything around it. */
export interface PrimitiveCost {
  readonly name: string
  /** libsecp256k1 or OpenSSL; null where they lack it. */
  readonly native_us: number | null
  readonly noble_us: number | null
}

interface Primitive {
  readonly name: string
  readonly native?: () => void
  readonly noble?: () => void
}

const { Point } = secp256k1
const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length))

function listPrimitives(): readonly Primitive[] {
  const bytes = random(32).fill(1, 0, 1)
  const scalar = BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
  const encoded = library.publicKeyCreate(random(32).fill(1, 0, 1))
  const full = library.publicKeyConvert(encoded, false)
  const other = library.publicKeyCreate(random(32).fill(1, 0, 1), false)
  const point = Point.fromBytes(encoded)
  const otherPoint = Point.fromBytes(other)
  const combination = Uint8Array.from([...encoded.subarray(1), ...bytes])
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const key = generateKeyPairSync('ed25519')
  const seed = random(32)
  const publicKey = ed25519.getPublicKey(seed)
  const message = random(44)
  const signature = sign(null, message, key.privateKey)
  const nobleSignature = ed25519.sign(message, seed)
  const kibibyte = random(1024)
  const batch = random(4 + 256 * 98)
  const boxKey = random(32)
  const dst = 'TKMS-V1-GBAR-secp256k1_XMD:SHA-256_SSWU_RO_'
  return [
    {
      name: 'decode a point',
      native: () => library.publicKeyConvert(encoded, false),
      noble: () => Point.fromBytes(encoded),
    },
    { name: 'secret * P', native: () => secretMultiply(full, bytes), noble: () => point.multiply(scalar) },
    { name: 'secret * G', native: () => library.publicKeyCreate(bytes), noble: () => Point.BASE.multiply(scalar) },
    {
      name: 'public * P',
      native: () => library.publicKeyTweakMul(full, bytes, false),
      noble: () => point.multiplyUnsafe(scalar),
    },
    {
      name: 'public * G + public * P',
      native: () => library.ecdsaRecover(combination, (encoded[0] ?? 0) - 2, bytes),
      noble: () => Point.BASE.multiplyUnsafe(scalar).add(point.multiplyUnsafe(scalar)),
    },
    { name: 'P + Q', native: () => library.publicKeyCombine([full, other]), noble: () => point.add(otherPoint) },
    { name: 'hash to the curve', noble: () => hashToCurve(message, dst) },
    {
      name: 'Ed25519 sign',
      native: () => sign(null, message, key.privateKey),
      noble: () => ed25519.sign(message, seed),
    },
    {
      name: 'Ed25519 verify',
      native: () => verify(null, message, key.publicKey, signature),
      noble: () => ed25519.verify(nobleSignature, message, publicKey, { zip215: false }),
    },
    { name: 'RSA-2048 OAEP wrap', native: () => wrap(rsa.publicKey, boxKey) },
    {
      name: 'AES-256-GCM, box of 256',
      native: () => seal(boxKey, batch),
      noble: () => gcm(boxKey, new Uint8Array(12)).encrypt(batch),
    },
    { name: 'SHA-256 of 1 KiB', native: () => hash('sha256', kibibyte, 'buffer'), noble: () => sha256(kibibyte) },
  ]
}

const SLICE_MS = 8

/** Each timed for about as long in every round, all in turn; the middle of the rounds. */
export function benchPrimitives(options: { readonly rounds: number }): readonly PrimitiveCost[] {
  const timers = listPrimitives().map(({ name, native, noble }) => ({
    name,
    native: native && createSampler(SLICE_MS, native),
    noble: noble && createSampler(SLICE_MS, noble),
  }))
  for (let round = 0; round < options.rounds; round++)
    for (const { native, noble } of timers) {
      native?.sample()
      noble?.sample()
    }
  return timers.map(({ name, native, noble }) => ({
    name,
    native_us: native?.median() ?? null,
    noble_us: noble?.median() ?? null,
  }))
}
