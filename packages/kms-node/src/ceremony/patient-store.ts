import { setTimeout as pause } from 'node:timers/promises'
import { isKmsError } from '../errors.ts'
import type { RecordStore } from '../ports.ts'

const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 60_000
/** About a day. */
const MAX_TRIES = 1_440

export interface Patience {
  /** Ends the waiting; the write then fails with `disk-full`. */
  readonly signal: AbortSignal
  /** Told on the first refusal of a write, and when it went through after all. */
  readonly onWait: (waiting: boolean) => void
  /** Pauses before the second and every later try, in milliseconds. Default: 1 s, doubled up to 1 min. */
  readonly firstPauseMs?: number
}

/** Records of a ceremony wait for a full disk to have room again: nothing behind them has left the node, so nothing is lost by it. */
export function createPatientStore(store: RecordStore, patience: Patience): RecordStore {
  const { signal, onWait, firstPauseMs = FIRST_PAUSE_MS } = patience

  const withPatience = async (write: () => Promise<void>): Promise<void> => {
    for (let tries = 1; ; tries++)
      try {
        await write()
        if (tries > 1) onWait(false)
        return
      } catch (cause) {
        if (!isKmsError(cause) || cause.code !== 'disk-full' || signal.aborted || tries >= MAX_TRIES) throw cause
        if (tries === 1) onWait(true)
        const ms = Math.min(firstPauseMs * 2 ** Math.min(tries - 1, 16), LONGEST_PAUSE_MS)
        await pause(ms, undefined, { signal, ref: false }).catch(() => undefined)
      }
  }

  return {
    get: (kind, id) => store.get(kind, id),
    list: (kind) => store.list(kind),
    put: (kind, id, plaintext) => withPatience(() => store.put(kind, id, plaintext)),
    erase: (kind, id) => withPatience(() => store.erase(kind, id)),
  }
}
