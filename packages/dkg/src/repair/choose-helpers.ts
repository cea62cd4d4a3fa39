import type { ParticipantIndex } from '../primitives/types.ts'

/** Two helpers of whom at least one lied (protocol 9: a bad private d_ik is one word against another). */
export type Dispute = readonly [ParticipantIndex, ParticipantIndex]

/**
 * t helpers among whom no two are in dispute; undefined when there are none. Nodes that do as they should are never in dispute with one
 * another, so t of them among the candidates are enough; who has more opponents than a committee has faulty nodes is left out at once.
 * @param candidates most wanted first
 * @param f how many may be faulty
 * @returns ascending by index
 */
export function chooseHelpers(
  candidates: readonly ParticipantIndex[],
  disputes: readonly Dispute[],
  t: number,
  f: number,
): readonly ParticipantIndex[] | undefined {
  const trusted = candidates.filter((index) => opponentsOf(index, disputes).size <= f)
  const chosen = withoutDisputes(trusted, disputes, t)
  return chosen?.slice(0, t).toSorted((left, right) => left - right)
}

function opponentsOf(index: ParticipantIndex, disputes: readonly Dispute[]): Set<ParticipantIndex> {
  return new Set(disputes.flatMap(([a, b]) => (a === index ? [b] : b === index ? [a] : [])))
}

/** Leaves out the one with the most opponents, or all its opponents, until nobody is in dispute or fewer than t are left. */
function withoutDisputes(
  candidates: readonly ParticipantIndex[],
  disputes: readonly Dispute[],
  t: number,
): readonly ParticipantIndex[] | undefined {
  if (candidates.length < t) return undefined
  const open = disputes.filter(([a, b]) => candidates.includes(a) && candidates.includes(b))
  const suspect = mostDisputed(candidates, open)
  if (suspect === undefined) return candidates
  const opponents = opponentsOf(suspect, open)
  return (
    withoutDisputes(
      candidates.filter((index) => index !== suspect),
      open,
      t,
    ) ??
    withoutDisputes(
      candidates.filter((index) => !opponents.has(index)),
      open,
      t,
    )
  )
}

function mostDisputed(
  candidates: readonly ParticipantIndex[],
  disputes: readonly Dispute[],
): ParticipantIndex | undefined {
  if (disputes.length === 0) return undefined
  const counted = candidates.map((index) => ({ index, opponents: opponentsOf(index, disputes).size }))
  // Of equals the last candidate goes: it is the least wanted.
  return counted.reduce((worst, one) => (one.opponents >= worst.opponents ? one : worst)).index
}
