const MAX_EVENTS = 200_000

interface Queued<T> {
  readonly timeMs: number
  readonly order: number
  readonly event: T
}

/** Events of a simulated clock, in order of time, then of arrival. */
export class EventQueue<T> {
  readonly #queued: Queued<T>[] = []
  #nowMs = 0
  #order = 0

  push(delayMs: number, event: T): void {
    const queued = { timeMs: this.#nowMs + delayMs, order: this.#order++, event }
    const at = this.#queued.findIndex(({ timeMs }) => timeMs <= queued.timeMs)
    this.#queued.splice(at < 0 ? this.#queued.length : at, 0, queued)
  }

  /** Delivers until nothing is left, or what is left comes after `untilMs`. */
  drain(untilMs: number, deliver: (event: T) => void): void {
    for (let count = 0; count < MAX_EVENTS; count++) {
      const next = this.#queued.at(-1)
      if (next === undefined || next.timeMs > untilMs) return
      this.#queued.pop()
      this.#nowMs = next.timeMs
      deliver(next.event)
    }
    throw new Error('the simulation does not come to rest')
  }
}
