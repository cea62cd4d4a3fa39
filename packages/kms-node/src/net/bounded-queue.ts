/** A first-in first-out queue of byte strings with caps, read as an async iterable by one consumer. Ends when it is closed. */
export interface BoundedQueue extends AsyncIterable<Uint8Array> {
  /** False when the queue is full or closed: the item was dropped. */
  push(item: Uint8Array): boolean
  close(): void
  readonly length: number
}

/** @param maxItems items waiting at most, of @param maxBytes together; a longer item waits only alone */
export function createBoundedQueue(maxItems: number, maxBytes: number): BoundedQueue {
  const items: Uint8Array[] = []
  let bytes = 0
  let closed = false
  let wake: () => void = () => {}
  return {
    push: (item) => {
      if (closed || items.length >= maxItems) return false
      if (items.length > 0 && bytes + item.length > maxBytes) return false
      items.push(item)
      bytes += item.length
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
        if (item !== undefined) {
          bytes -= item.length
          yield item
        } else if (closed) return
        else await new Promise<void>((resolve) => (wake = resolve))
      }
    },
  }
}
