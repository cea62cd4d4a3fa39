import type { CommitteeConfig } from '../ceremony/config.ts'
import { bytesKey, equalBytes } from '../primitives/codec.ts'
import type { ParticipantIndex, SharingId } from '../primitives/types.ts'
import { type DestroySharing, type ErasedStatement, sharingLeft } from './messages.ts'

/** How far one sharing of a destroyed generation is gone. */
export interface DestroyedSharing {
  readonly sharingId: SharingId
  readonly epoch: number
  /** Members of its committee that erased their share: a receipt of the generation, or an ERASED of this epoch. */
  readonly have: number
  /** n - t + 1 + f: then n - t + 1 honest ones did, and what is left is below t shares. */
  readonly want: number
  readonly missing: readonly ParticipantIndex[]
}

/** n - t + 1 + f (protocol 8). At most n, since f < t. */
export const receiptsWanted = ({ n, t, f }: CommitteeConfig): number => n - t + 1 + f

/**
 * The counting rule of protocol 8: every sharing of the generation, the current one and every older one, must be erased by n - t + 1 + f
 * of its own committee.
 * @param receipts indices whose receipt verified
 * @param erased statements that verified (`verifyErased`)
 */
export function countErasures(
  sharings: readonly DestroySharing[],
  receipts: ReadonlySet<ParticipantIndex>,
  erased: readonly ErasedStatement[],
): readonly DestroyedSharing[] {
  return sharings.map(({ sharingId, epoch, config }) => {
    const left = new Set(
      erased
        .filter((statement) => {
          const gone = sharingLeft(sharings, statement)
          return gone !== undefined && equalBytes(gone.sharingId, sharingId)
        })
        .map(({ from }) => from),
    )
    const missing = config.members.map(({ index }) => index).filter((index) => !receipts.has(index) && !left.has(index))
    return { sharingId, epoch, have: config.n - missing.length, want: receiptsWanted(config), missing }
  })
}

/** A sharing of the generation whose certificate, and with it whose committee, is not known here. */
export interface UnseenSharing {
  readonly sharingId: SharingId
  /** Where it is known. */
  readonly epoch?: number
  /** The holder on whose signed word it exists; absent where a known certificate names it. */
  readonly from?: ParticipantIndex
}

/**
 * The sharings that must exist, and of which nothing can be counted here: those that a known certificate was made from, and those that a
 * holder named in its receipt or ERASED.
 * @param claims signed by a member of a known sharing
 */
export function unseenSharings(
  sharings: readonly DestroySharing[],
  claims: readonly UnseenSharing[],
): readonly UnseenSharing[] {
  const isKnown = (sharingId: SharingId): boolean => sharings.some((known) => equalBytes(known.sharingId, sharingId))
  const before = sharings.flatMap(({ epoch, prevOutcome }) =>
    prevOutcome === undefined ? [] : [{ sharingId: prevOutcome, epoch: epoch - 1 }],
  )
  const unseen = new Map<string, UnseenSharing>()
  for (const one of [...before, ...claims])
    if (!isKnown(one.sharingId) && !unseen.has(bytesKey(one.sharingId))) unseen.set(bytesKey(one.sharingId), one)
  return [...unseen.values()]
}

/**
 * Whether nobody can put the key together again, if at most f of every committee lied about it. Never while a sharing exists of which
 * nothing is known: its committee may hold every share.
 */
export const isGone = (sharings: readonly DestroyedSharing[], unseen: readonly UnseenSharing[]): boolean =>
  sharings.length > 0 && unseen.length === 0 && sharings.every(({ have, want }) => have >= want)

/** One place for a statement: who, of which epoch, on whose word. */
export const erasedKey = ({ from, epoch, successor }: ErasedStatement): string =>
  `${from}/${epoch}/${bytesKey(successor)}`
