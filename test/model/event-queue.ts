interface Entry<T> {
  readonly atMs: number
  readonly order: number
  readonly item: T
}

/** Items by time, those of one time in the order in which they were put: a binary heap. */
export class EventQueue<T> {
  readonly #heap: Entry<T>[] = []
  #order = 0

  get size(): number {
    return this.#heap.length
  }

  push(atMs: number, item: T): void {
    const heap = this.#heap
    const entry = { atMs, order: this.#order++, item }
    let at = heap.length
    heap.push(entry)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent]
      if (above === undefined || isBefore(above, entry)) break
      heap[at] = above
      at = parent
    }
    heap[at] = entry
  }

  pop(): { readonly atMs: number; readonly item: T } | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      const [left, right] = [heap[2 * at + 1], heap[2 * at + 2]]
      const least = left !== undefined && right !== undefined && isBefore(right, left) ? right : left
      if (least === undefined || isBefore(last, least)) break
      heap[at] = least
      at = least === right ? 2 * at + 2 : 2 * at + 1
    }
    heap[at] = last
    return first
  }
}

const isBefore = <T>(left: Entry<T>, right: Entry<T>): boolean =>
  left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order)
