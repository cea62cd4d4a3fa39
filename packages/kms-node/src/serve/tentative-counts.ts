/** What rules counted of a request that may still get nothing. */
export interface TentativeCounts {
  /** Takes what takes a count back. After the end it is taken back at once: nobody waits for that rule any more. */
  readonly unlessReleased: (undo: () => void) => void
  /** The request is over: what was counted stays when it was released, and is taken back when not. Only the first end counts. */
  end(released: boolean): void
}

export function createTentativeCounts(): TentativeCounts {
  const undos: (() => void)[] = []
  let ended = false
  return {
    unlessReleased(undo) {
      if (ended) undo()
      else undos.push(undo)
    },
    end(released) {
      ended = true
      for (const undo of undos.splice(0)) if (!released) undo()
    },
  }
}
