/** Seeded randomness with the few questions a schedule asks. The same seed gives the same answers. */
export class Dice {
  #state: number

  constructor(seed: number, stream = 0) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b)) >>> 0
    for (let turn = 0; turn < 4; turn++) this.next()
  }

  /** In [0, 1) (SplitMix32). */
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0
    let z = this.#state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32
  }

  chance(probability: number): boolean {
    return probability > 0 && this.next() < probability
  }

  /** A whole number in 0..count-1. */
  below(count: number): number {
    return Math.floor(this.next() * count)
  }

  /** A whole number in from..to, both included. */
  within(from: number, to: number): number {
    return from + this.below(to - from + 1)
  }

  pick<T>(list: readonly T[]): T {
    const item = list[this.below(list.length)]
    if (item === undefined) throw new RangeError('nothing to pick from')
    return item
  }

  shuffle<T>(list: readonly T[]): T[] {
    const out = [...list]
    for (let at = out.length - 1; at > 0; at--) {
      const other = this.below(at + 1)
      const [a, b] = [out[at], out[other]]
      if (a === undefined || b === undefined) continue
      out[at] = b
      out[other] = a
    }
    return out
  }

  sample<T>(list: readonly T[], count: number): T[] {
    return this.shuffle(list).slice(0, count)
  }

  /** Each item by itself with this probability. */
  some<T>(list: readonly T[], probability: number): T[] {
    return list.filter(() => this.chance(probability))
  }

  /** One of the weighted choices. */
  weighted<T>(choices: readonly (readonly [weight: number, value: T])[]): T {
    let at = this.next() * choices.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, value] of choices) {
      at -= weight
      if (at < 0) return value
    }
    throw new RangeError('nothing to choose from')
  }
}
