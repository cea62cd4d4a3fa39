import { randomBytes } from 'node:crypto'
import { type Curve, decodePoint, encodeScalar, type PointBytes, Secret } from '@tkms/dkg'
import type { Timings } from './welch.ts'

/** The two inputs that are compared for a while: each call makes one anew from bytes of its own, and returns what to time. */
interface Inputs {
  fixed(): () => void
  random(): () => void
}

export interface Trial {
  readonly name: 'share' | 'point' | 'nonce' | 'control' | 'unseen'
  /** Draws the random input of a block. */
  inputs(): Inputs
}

const randomScalar = (): Uint8Array => new Uint8Array(randomBytes(32)).fill(1, 0, 1)
const numberOf = (scalar: Uint8Array): bigint => BigInt(`0x${Buffer.from(scalar).toString('hex')}`)

/** Short and heavy: whatever looks at the bits, length or weight of a scalar treats it unlike a random one. */
const FIXED_SCALAR = encodeScalar(2n ** 96n - 17n)

/**
 * The secret multiplications of a node as it does them; as a control one with a method for public data, which must be found to leak.
 *
 * Fixed and random inputs of a block are used equally often, so that neither is the more familiar one: a node's share is always the same,
 * and what its time may tell is its value. `unseen` compares the fixed share with one that is new every time instead: it finds branches
 * that depend on the share even where both sides of them take the same time, because a processor learns the way of a share it has met.
 */
export function createTrials(curve: Curve): readonly Trial[] {
  const pointOf = (scalar: Uint8Array): PointBytes => curve.mulBaseSecret(new Secret(scalar))
  const received = (point: Uint8Array): PointBytes => decodePoint(curve, Uint8Array.from(point))
  const K = received(pointOf(randomScalar()))
  const fixedPoint = pointOf(randomScalar())
  const share = new Secret(randomScalar())

  const multiply = (scalar: Uint8Array) => (): (() => void) => {
    const secret = Secret.copyOf(scalar)
    return () => void curve.mulSecret(K, secret)
  }
  const multiplyPoint = (bytes: Uint8Array) => (): (() => void) => {
    const point = received(bytes)
    return () => void curve.mulSecret(point, share)
  }
  const multiplyBase = (scalar: Uint8Array) => (): (() => void) => {
    const nonce = Secret.copyOf(scalar)
    return () => void curve.mulBaseSecret(nonce)
  }
  const multiplyPublic = (scalar: Uint8Array) => (): (() => void) => {
    const factor = numberOf(scalar)
    return () => void curve.linearCombination([{ scalar: factor, point: K }])
  }
  return [
    { name: 'share', inputs: () => ({ fixed: multiply(FIXED_SCALAR), random: multiply(randomScalar()) }) },
    {
      name: 'point',
      inputs: () => ({ fixed: multiplyPoint(fixedPoint), random: multiplyPoint(pointOf(randomScalar())) }),
    },
    { name: 'nonce', inputs: () => ({ fixed: multiplyBase(FIXED_SCALAR), random: multiplyBase(randomScalar()) }) },
    {
      name: 'control',
      inputs: () => ({ fixed: multiplyPublic(FIXED_SCALAR), random: multiplyPublic(randomScalar()) }),
    },
    { name: 'unseen', inputs: () => ({ fixed: multiply(FIXED_SCALAR), random: () => multiply(randomScalar())() }) },
  ]
}

const BLOCK = 512
/** The first of a block are not counted: the random input is still new to the processor. */
const FAMILIARISING = 128

/** Times one trial for about `ms`: blocks in which the fixed and one random input come in random order, all made before the first is timed. */
export function measure(trial: Trial, ms: number): Timings {
  const ns: number[] = []
  const fixed: number[] = []
  const untilMs = performance.now() + ms
  while (performance.now() < untilMs) {
    const inputs = trial.inputs()
    const classes = [...randomBytes(BLOCK)].map((byte) => byte & 1)
    const runs = classes.map((isFixed) => (isFixed === 1 ? inputs.fixed() : inputs.random()))
    for (const [at, run] of runs.entries()) {
      const startMs = performance.now()
      run()
      const tookMs = performance.now() - startMs
      if (at < FAMILIARISING) continue
      ns.push(tookMs * 1e6)
      fixed.push(classes[at] ?? 0)
    }
  }
  return { ns: Float64Array.from(ns), fixed: Uint8Array.from(fixed) }
}
