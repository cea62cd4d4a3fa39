import { type AuditRefusals, bytesKey } from '@tkms/dkg'
import type { RefusedRequest } from '../serve/release-ledger.ts'

/** Different requesters of one window that are told apart. */
export const MAX_COUNTED_REQUESTERS = 256
/** Windows at one time; what goes beyond is counted without its key. */
const MAX_WINDOWS = 1024
const NO_KEY = new Uint8Array(32)

interface Window {
  readonly code: AuditRefusals['code']
  readonly keyId: Uint8Array
  readonly since: number
  count: number
  readonly requesters: Set<string>
}

/** Counts refusals per reason and key: a flood of them costs a few numbers, never a record each. */
export interface RefusalWindows {
  readonly isEmpty: boolean
  count(request: RefusedRequest, nowSeconds: number): void
  /** Ends all windows. @returns what was counted */
  take(): readonly AuditRefusals[]
}

export function createRefusalWindows(): RefusalWindows {
  const windows = new Map<string, Window>()
  const windowOf = (code: AuditRefusals['code'], keyId: Uint8Array, nowSeconds: number): Window => {
    const name = `${code}/${bytesKey(keyId)}`
    const known = windows.get(name)
    if (known !== undefined) return known
    if (windows.size >= MAX_WINDOWS && keyId !== NO_KEY) return windowOf(code, NO_KEY, nowSeconds)
    const window = { code, keyId, since: nowSeconds, count: 0, requesters: new Set<string>() }
    windows.set(name, window)
    return window
  }
  return {
    get isEmpty() {
      return windows.size === 0
    },
    count({ code, keyId, requester }, nowSeconds) {
      const window = windowOf(code, keyId ?? NO_KEY, nowSeconds)
      window.count++
      if (requester !== undefined && window.requesters.size < MAX_COUNTED_REQUESTERS) window.requesters.add(requester)
    },
    take() {
      const taken = [...windows.values()].map(
        ({ code, keyId, since, count, requesters }): AuditRefusals => ({
          kind: 'refusals',
          code,
          keyId,
          since,
          count,
          requesters: requesters.size,
        }),
      )
      windows.clear()
      return taken
    },
  }
}
