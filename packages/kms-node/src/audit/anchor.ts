import { concatBytes } from '@noble/hashes/utils.js'
import {
  AUDIT_HEAD_BYTES,
  type AuditOwner,
  decodeAll,
  decodeAuditHead,
  Secret,
  SIGNATURE_BYTES,
  signAuditHead,
  type SignedAuditHead,
  type SignMessage,
} from '@tkms/dkg'
import type { Clock, RecordStore } from '../ports.ts'
import type { LogPoint } from './database.ts'

const ID = 'head'
/** A new record is anchored this much later at the latest. */
export const ANCHOR_MS = 1_000
/** Without an anchor for so long, nothing is released: what is not anchored could be cut off unseen. */
export const MAX_UNANCHORED_MS = 30_000

/** The newest head that the sealed store keeps, of 91 and 64 bytes; undefined before the first. @throws errors of the store */
export async function readAnchor(store: RecordStore): Promise<SignedAuditHead | undefined> {
  const record = await store.get('audit', ID)
  if (record === undefined) return undefined
  try {
    return record.use((bytes) =>
      decodeAll(bytes, 'audit anchor', (reader) => {
        const head = reader.take(AUDIT_HEAD_BYTES, 'audit anchor')
        return { head, signature: reader.take(SIGNATURE_BYTES, 'audit anchor') }
      }),
    )
  } finally {
    record.destroy()
  }
}

/** head || signature, sealed. @throws errors of the store */
export async function writeAnchor(store: RecordStore, { head, signature }: SignedAuditHead): Promise<void> {
  const record = new Secret(concatBytes(head, signature))
  try {
    await store.put('audit', ID, record)
  } finally {
    record.destroy()
  }
}

/** The signed head of a log at this point. */
export const headAt = (
  ports: { readonly owner: AuditOwner; readonly sign: SignMessage; readonly clock: Clock },
  { count, hash }: LogPoint,
): SignedAuditHead => {
  const { clusterId, index } = ports.owner
  const time = Math.floor(ports.clock.nowMs() / 1000)
  return signAuditHead(ports.sign, { clusterId, index, count, hash, time })
}

/** Keeps the newest head of the log in the sealed store. */
export interface Anchor {
  /** The newest head that is there. */
  readonly anchored: SignedAuditHead
  /** Whether new records have been without an anchor for too long. */
  isOverdue(): boolean
  /** There is something new to anchor. */
  onAppended(): void
  /** Anchors what is new now. @throws errors of the store */
  flush(): Promise<void>
  /** The same, and ends. @throws errors of the store */
  close(): Promise<void>
}

export function createAnchor(
  options: {
    readonly store: RecordStore
    readonly owner: AuditOwner
    readonly sign: SignMessage
    readonly clock: Clock
    readonly tail: () => LogPoint
    /** It cannot be written; tried again every second. */
    readonly onFailed: (cause: unknown) => void
  },
  first: SignedAuditHead,
): Anchor {
  const { store, clock, tail } = options
  let anchored = first
  let count = decodeAuditHead(first.head).count
  let timer: NodeJS.Timeout | undefined
  let underWay: Promise<void> | undefined
  /** When the oldest record came that has no anchor; monotonic. */
  let sinceMs: number | undefined
  let closed = false

  const anchor = async (): Promise<void> => {
    const startMs = clock.monotonicMs()
    const point = tail()
    if (point.count === count) return
    const head = headAt(options, point)
    await writeAnchor(store, head)
    anchored = head
    count = point.count
    sinceMs = tail().count > count ? startMs : undefined
  }
  const tick = (): void => {
    timer = undefined
    underWay = anchor()
      .catch(options.onFailed)
      .finally(() => {
        underWay = undefined
        schedule()
      })
  }
  const schedule = (): void => {
    if (!closed && underWay === undefined && tail().count > count) timer ??= setTimeout(tick, ANCHOR_MS).unref()
  }
  return {
    get anchored() {
      return anchored
    },
    isOverdue: () => sinceMs !== undefined && clock.monotonicMs() - sinceMs > MAX_UNANCHORED_MS,
    onAppended() {
      sinceMs ??= clock.monotonicMs()
      schedule()
    },
    async flush() {
      await underWay
      clearTimeout(timer)
      timer = undefined
      const anchoring = anchor()
      underWay = anchoring
        .catch(() => undefined)
        .finally(() => {
          underWay = undefined
          schedule()
        })
      await anchoring
    },
    async close() {
      closed = true
      clearTimeout(timer)
      await underWay
      await anchor()
    },
  }
}
