import type { MonotonicCounter } from '../ports.ts'
import { storeError } from './errors.ts'
import type { FileSystem } from './file-system.ts'

/** What a chip keeps: it survives every store and process. */
export interface TestChip {
  value: number
  increments: number
  /** The counters that it has, by their places. */
  readonly made: Set<number>
  /** Before and after counting. */
  step: () => void
  readonly counter: MonotonicCounter
}

export function createTestChip(value: number): TestChip {
  let noted = 0
  const chip: TestChip = {
    value,
    increments: 0,
    made: new Set(),
    step: () => undefined,
    counter: {
      read: async () => chip.value,
      increment: async () => {
        chip.step()
        chip.value++
        chip.increments++
        chip.step()
        return chip.value
      },
      create: async (note) => {
        const place = noted++
        await note(Uint8Array.of(place))
        chip.step()
        chip.made.add(place)
        chip.step()
      },
      remove: async () => chip.made.clear(),
      discard: async ([place = 0]) => void chip.made.delete(place),
    },
  }
  return chip
}

export const powerGone = (): never => {
  throw storeError('store-io', 'injected')
}

/** Fails the step of number `at` (from 0) and, like a dead process, every one after it: steps on disk, and before and after counting. */
export function cutPower(chip: TestChip, at: number, disk: FileSystem): FileSystem & { steps: number } {
  const port = { ...disk, steps: 0 }
  const step = (): void => {
    if (port.steps++ >= at) powerGone()
  }
  chip.step = step
  const guard = <A extends unknown[], T>(run: (...args: A) => Promise<T>) => {
    return async (...args: A): Promise<T> => {
      step()
      return run(...args)
    }
  }
  return Object.assign(port, {
    writeNew: guard(disk.writeNew),
    rename: guard(disk.rename),
    unlink: guard(disk.unlink),
    syncDirectory: guard(disk.syncDirectory),
  })
}
