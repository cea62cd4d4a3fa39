import type { Reading } from './odometer.ts'

/** Where one sharing of a key stands at this node (protocol 8). PREPARED shares are in the ceremony's snapshot until the certificate. */
export type SharingState =
  /** The latest sharing, with its share here. */
  | 'active'
  /** The latest sharing, whose share this member lacks. */
  | 'awaiting-repair'
  /** The latest sharing, of a committee that this node is not in. */
  | 'not-a-member'
  /** A later one is certified; still answers requests that name it, until its grace is over. */
  | 'retiring'
  /** A later one is certified, and there is no share of this one here; a member's place still gets its tombstone. */
  | 'superseded'
  /** Its share was erased for ever. */
  | 'erased'

/** What is known of one sharing. */
export interface SharingFacts {
  /** u32. */
  readonly epoch: number
  /** u32, among those of one epoch. */
  readonly attempt: number
  readonly isMember: boolean
  /** A share that is stored, was read back and holds against the certificate. */
  readonly hasShare: boolean
  readonly erased: boolean
  /** Of its certificate: whether earlier shares may be erased on its word, whether they are refused at once, and when it was first seen. */
  readonly mayErase: boolean
  readonly refusesEarlier: boolean
  readonly seen: Reading
  /** At least t members of its committee are known to have its certificate: it can take over. */
  readonly isEstablished: boolean
}

export interface RetirementTimes {
  /** How long a retiring share is served, counted in time that this node ran. */
  readonly graceMs: number
  /** T_max: the old share goes this long after the certificate was seen, whatever is missing. */
  readonly maxRetiringMs: number
}

export interface Retirement<T> {
  /** The sharing on whose certificate the share goes. */
  readonly successor: T
  /** Milliseconds of this process's running time until its grace is over; 0 = erase when no request is in flight. */
  readonly dueInMs: number
}

export interface SharingLife<T extends SharingFacts> {
  readonly sharing: T
  readonly state: SharingState
  /** Whether requests may be answered with its share. */
  readonly servable: boolean
  /** With `retiring`, and with `superseded` of a member: when it goes for ever. Absent where no certificate seen so far is an order. */
  readonly retirement?: Retirement<T>
}

/** Protocol 10 minutes and T_max. */
export const DEFAULT_RETIREMENT: RetirementTimes = { graceMs: 10 * 60_000, maxRetiringMs: 24 * 3600_000 }

/** Later epoch first; of several attempts the highest counts (protocol 3, 6). */
export const laterFirst = (left: SharingOrder, right: SharingOrder): number =>
  right.epoch - left.epoch || right.attempt - left.attempt
type SharingOrder = Pick<SharingFacts, 'epoch' | 'attempt'>

/**
 * The state of every sharing of one key (protocol 8, rules 2 and 3), the latest first. A function of what is durable and of the
 * odometer alone, so that a restart at any moment comes to the same result.
 */
export function lifeOf<T extends SharingFacts>(
  sharings: readonly T[],
  now: Reading,
  times: RetirementTimes,
): readonly SharingLife<T>[] {
  const ordered = sharings.toSorted(laterFirst)
  return ordered.map((sharing, at) => {
    const later = ordered.slice(0, at)
    if (sharing.erased) return { sharing, state: 'erased', servable: false }
    if (later.length === 0) return latest(sharing)
    const { hasShare, isMember } = sharing
    const retirement = hasShare || isMember ? retirementOf(later, now, times) : undefined
    return {
      sharing,
      state: hasShare ? 'retiring' : 'superseded',
      servable: hasShare && !later.some(({ refusesEarlier }) => refusesEarlier),
      ...(retirement !== undefined && { retirement }),
    }
  })
}

function latest<T extends SharingFacts>(sharing: T): SharingLife<T> {
  if (sharing.hasShare) return { sharing, state: 'active', servable: true }
  return { sharing, state: sharing.isMember ? 'awaiting-repair' : 'not-a-member', servable: false }
}

/**
 * The first certificate seen that orders the erasing starts the clock. When the own share of the latest sharing is here, or none due, and
 * t of its members are known to have moved on, the share goes after the grace, which is running time alone: only a node that runs has
 * requests to answer. Where one of the two is missing it goes T_max after the certificate was seen, by whatever evidence of time there is,
 * but never without the grace: a wall clock that is years ahead after a restart cannot take it away at once.
 */
function retirementOf<T extends SharingFacts>(
  later: readonly T[],
  now: Reading,
  { graceMs, maxRetiringMs }: RetirementTimes,
): Retirement<T> | undefined {
  const [newest] = later
  const successor = later
    .filter(({ mayErase }) => mayErase)
    .toSorted((left, right) => left.seen.totalMs - right.seen.totalMs)[0]
  if (newest === undefined || successor === undefined) return undefined
  const graceLeftMs = graceMs - (now.ranMs - successor.seen.ranMs)
  const settled = newest.isEstablished && (newest.hasShare || !newest.isMember)
  const waitLeftMs = settled ? 0 : maxRetiringMs - (now.totalMs - successor.seen.totalMs)
  return { successor, dueInMs: Math.max(0, graceLeftMs, waitLeftMs) }
}
