/** Runs what it is given one after the other, in the order it came; one that fails does not keep the next from its turn. */
export type Turns = <T>(work: () => Promise<T>) => Promise<T>

export function createTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const result = last.then(work)
    // Its own caller sees the error.
    last = result.catch(() => undefined)
    return result
  }
}
