/** A first-in first-out queue with a cap, read as an async iterable by one consumer. Ends when it is closed. */
export interface BoundedQueue<T> extends AsyncIterable<T> {
  /** False when the queue is full or closed: the item was dropped. */
  push(item: T): boolean
  close(): void
  readonly length: number
}

/** @param maxItems items waiting at most */
export function createBoundedQueue<T>(maxItems: number): BoundedQueue<T> {
  const items: T[] = []
  let closed = false
  let wake: () => void = () => {}
  return {
    push: (item) => {
      if (closed || items.length >= maxItems) return false
      items.push(item)
      wake()
      return true
    },
    close: () => {
      closed = true
      wake()
    },
    get length() {
      return items.length
    },
    async *[Symbol.asyncIterator]() {
      while (true) {
        const item = items.shift()
        if (item !== undefined) yield item
        else if (closed) return
        else await new Promise<void>((resolve) => (wake = resolve))
      }
    },
  }
}
