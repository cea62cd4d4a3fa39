import { expect } from 'vitest'
import type { ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import type { RepairBench } from './repair-bench.ts'
import { isShareOf, type RepairCase, repairCase } from './repair-case.ts'

/** What the tests of repairs share. */

/** The curve of every case. */
export const { curve } = repairCase(3, 2, 0).committee

/** @param at 0 first, ascending by index */
export const nth = (repair: RepairCase, at: number): ParticipantIndex => {
  const found = repair.identities[at]
  if (found === undefined) throw new Error(`there is no member number ${at}`)
  return found.index
}

export const signerOf = (repair: RepairCase, index: number) => {
  const found = repair.identities.find((identity) => identity.index === index)
  if (found === undefined) throw new Error(`node ${index} has no identity`)
  return found.sign
}

/** r has its share, every helper made one M1 for each rid, and nothing is under way any more. */
export function expectRepaired(repair: RepairCase, recoverer: ParticipantIndex, bench: RepairBench): void {
  expect(isShareOf(repair, recoverer, bench.repaired)).toBe(true)
  for (const bodies of bench.contributions.values()) expect(bodies.size).toBe(1)
  for (const { state } of bench.states()) expect(state.phase.name).toBe('done')
}
