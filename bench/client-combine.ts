import { createDecipheriv } from 'node:crypto'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { loadNativeCurve } from '@tkms/curve-native'
import {
  combineSharing,
  type Curve,
  decodeSingle,
  equalBytes,
  nobleCurve,
  openEnvelopeV2,
  ORDER,
  verifyPartial,
} from '@tkms/dkg'
import library from 'secp256k1/bindings.js'
import { createSharedKey, received, type SharedKey } from './shared-key.ts'
import { createSampler, type Sampler } from './statistics.ts'

/** What a client does with t answers, beyond opening their boxes and verifying their signatures. Microseconds. */
export interface ClientCost {
  readonly t: number
  readonly n: number
  readonly backend: 'native' | 'noble'
  /** Reads t partials, combines them, and opens an envelope that commits to its key, which tells whether they were right: no proof is verified. */
  readonly open_us: number
  readonly open_floor_us: number
  readonly open_ratio: number
  /** The same with all t proofs verified first, as for an envelope that commits to nothing. */
  readonly proven_us: number
  readonly proven_floor_us: number
  readonly proven_ratio: number
}

/** The two ways of a client to s*K. Both throw where what they open is not the plaintext. */
export interface ClientSteps {
  readonly open: () => void
  readonly proven: () => void
}

export function createClientSteps(curve: Curve, key: SharedKey): ClientSteps {
  const { K, shares } = received(curve, key)
  const { holders, sharingId, envelope, plaintext } = key
  const run = (proven: boolean) => (): void => {
    const partials = holders.map(({ content }) => ({ sharingId, ...decodeSingle(curve, content) }))
    if (proven)
      for (const [at, { ctx }] of holders.entries()) {
        const [partial, verificationShare] = [partials[at], shares[at]]
        if (partial === undefined || verificationShare === undefined) throw new Error('t holders were made')
        if (!verifyPartial(curve, { verificationShare, K, ctx, ...partial }))
          throw new Error('an honest proof does not hold')
      }
    if (!equalBytes(openEnvelopeV2(curve, envelope, combineSharing(curve, key, partials)), plaintext))
      throw new Error('the envelope opens to something else')
  }
  return { open: run(false), proven: run(true) }
}

interface Timers {
  readonly open: Sampler
  readonly openFloor: Sampler
  readonly proven: Sampler
  readonly provenFloor: Sampler
}

/**
 * For every threshold, on both backends, with the bare operations of the same backend, all timed in turn.
 * @param options.thresholds 2..22
 */
export function benchClient(options: {
  readonly rounds: number
  readonly thresholds: readonly number[]
  readonly sliceMs?: number
}): readonly ClientCost[] {
  const { rounds, thresholds, sliceMs = 4 } = options
  const warmUp = Math.round(25 * sliceMs)
  const native = loadNativeCurve()
  return thresholds.flatMap((t) => {
    const n = Math.max(3, 3 * t - 2)
    const key = createSharedKey({ n, t })
    const backends = [
      ...(native === undefined ? [] : [{ backend: 'native' as const, curve: native, floor: createNativeFloor(key) }]),
      { backend: 'noble' as const, curve: nobleCurve, floor: createNobleFloor(key) },
    ]
    return backends.map(({ backend, curve, floor }): ClientCost => {
      const steps = createClientSteps(curve, key)
      // Compiled before anything counts.
      if (t === thresholds[0]) for (let n = 0; n < warmUp; n++) steps.proven()
      const timers: Timers = {
        open: createSampler(sliceMs, steps.open),
        openFloor: createSampler(sliceMs, floor.open),
        proven: createSampler(sliceMs, steps.proven),
        provenFloor: createSampler(sliceMs, floor.proven),
      }
      for (let round = 0; round < rounds; round++)
        for (const timer of Object.values(timers) as Sampler[]) timer.sample()
      return costOf({ t, n, backend }, timers)
    })
  })
}

function costOf(what: Pick<ClientCost, 't' | 'n' | 'backend'>, timers: Timers): ClientCost {
  const [open, openFloor, proven, provenFloor] = [timers.open, timers.openFloor, timers.proven, timers.provenFloor].map(
    (timer) => timer.median(),
  )
  if (open === undefined || openFloor === undefined || proven === undefined || provenFloor === undefined)
    throw new RangeError('nothing was sampled')
  return {
    ...what,
    open_us: open,
    open_floor_us: openFloor,
    open_ratio: open / openFloor,
    proven_us: proven,
    proven_floor_us: provenFloor,
    proven_ratio: proven / provenFloor,
  }
}

/**
 * The bare operations of libsecp256k1: every D decoded, t products by factors of full length and their sum; for a proof one recovery (a
 * combination with G), two products and a sum; and AES-GCM by OpenSSL.
 */
function createNativeFloor({ holders, envelope }: SharedKey): ClientSteps {
  const scalar = new Uint8Array(32).fill(0x5a)
  const encoded = holders.map(({ content }) => content.slice(2, 35))
  const { K } = envelope.header
  const fullK = library.publicKeyConvert(K, false)
  const combination = Uint8Array.from([...K.subarray(1), ...scalar])
  const multiply = (point: Uint8Array): Uint8Array => library.publicKeyTweakMul(point, scalar, false)
  const open = (points: readonly Uint8Array[]): void => {
    library.publicKeyCombine(points.map(multiply))
    openBare(envelope.ciphertext)
  }
  const decode = (): readonly Uint8Array[] => encoded.map((point) => library.publicKeyConvert(point, false))
  return {
    open: () => open(decode()),
    proven() {
      const points = decode()
      for (const point of points) {
        library.ecdsaRecover(combination, (K[0] ?? 0) - 2, scalar)
        library.publicKeyCombine([multiply(fullK), multiply(point)])
      }
      open(points)
    },
  }
}

/** The same operations of noble, in the cheapest form that it has. */
function createNobleFloor({ holders, envelope }: SharedKey): ClientSteps {
  const { Point } = secp256k1
  const scalar = BigInt(`0x${'5a'.repeat(32)}`) % ORDER
  const encoded = holders.map(({ content }) => content.slice(2, 35))
  const K = Point.fromBytes(envelope.header.K)
  type NoblePoint = typeof K
  const open = (points: readonly NoblePoint[]): void => {
    points.reduce((sum, point) => sum.add(point.multiplyUnsafe(scalar)), Point.ZERO).toBytes(true)
    openBare(envelope.ciphertext)
  }
  const decode = (): readonly NoblePoint[] => encoded.map((point) => Point.fromBytes(point))
  return {
    open: () => open(decode()),
    proven() {
      const points = decode()
      for (const point of points)
        for (const base of [Point.BASE, K]) base.mulAddUnsafe(scalar, point, scalar).toBytes(true)
      open(points)
    },
  }
}

/** AES-GCM by OpenSSL, with a key that opens nothing, which takes as long. */
function openBare(ciphertext: Uint8Array): void {
  const key = new Uint8Array(32)
  const decipher = createDecipheriv('aes-256-gcm', key, key.subarray(0, 12))
  decipher.update(ciphertext)
}
