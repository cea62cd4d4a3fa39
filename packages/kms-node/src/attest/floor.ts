import type { CommitteeConfig, ParticipantIndex } from '@tkms/dkg'

/** What this node knows of the members of a committee, itself among the proven ones. */
export interface ProvenMembers {
  readonly proven: ReadonlySet<number>
  /** Everything about their proof holds but its date: it held before, on this connection or an earlier one. */
  readonly expired: ReadonlySet<number>
}

/**
 * Whose expired proof still counts: as many as t + f members need, the lowest indices first, so that all nodes keep the same ones as
 * long as they see the same. Collateral is often one file for all: when it runs out everywhere, the committee would be gone at once.
 * A member that is refused for anything else than its date is never kept.
 */
export function keptByFloor(
  { t, f, members }: Pick<CommitteeConfig, 't' | 'f' | 'members'>,
  { proven, expired }: ProvenMembers,
): readonly ParticipantIndex[] {
  const indices = members.map(({ index }) => index)
  const missing = t + f - indices.filter((index) => proven.has(index)).length
  const candidates = indices.filter((index) => expired.has(index) && !proven.has(index))
  return candidates.toSorted((left, right) => left - right).slice(0, Math.max(0, missing))
}
