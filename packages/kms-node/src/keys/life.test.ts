import { describe, expect, it } from 'vitest'
import { lifeOf, type SharingFacts } from './life.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const times = { graceMs: 10 * MINUTE, maxRetiringMs: 24 * HOUR }
const sharing = (epoch: number, changes: Partial<SharingFacts> = {}): SharingFacts => ({
  epoch,
  attempt: 0,
  isMember: true,
  hasShare: true,
  erased: false,
  mayErase: true,
  refusesEarlier: false,
  seen: { ranMs: 0, totalMs: 0 },
  isEstablished: true,
  ...changes,
})
const at = (ranMs: number, totalMs = ranMs): { ranMs: number; totalMs: number } => ({ ranMs, totalMs })
const states = (sharings: readonly SharingFacts[], now = at(0)): (string | number)[][] =>
  lifeOf(sharings, now, times).map(({ sharing: { epoch }, state, servable, retirement }) => [
    epoch,
    state,
    servable ? 'served' : 'refused',
    ...(retirement === undefined ? [] : [retirement.dueInMs / MINUTE]),
  ])

describe('life of a share', () => {
  it('is active alone, retiring below a successor, and due after the grace', () => {
    expect(states([sharing(0)])).toEqual([[0, 'active', 'served']])
    const both = [sharing(0), sharing(1, { seen: at(5 * MINUTE) })]
    expect(states(both, at(6 * MINUTE))).toEqual([
      [1, 'active', 'served'],
      [0, 'retiring', 'served', 9],
    ])
    expect(states(both, at(15 * MINUTE))[1]).toEqual([0, 'retiring', 'served', 0])
  })

  it('counts the grace in running time: neither a pause nor a wall clock set forward shortens it', () => {
    const both = [sharing(0), sharing(1)]
    expect(states(both, at(4 * MINUTE, 1000 * HOUR))[1]).toEqual([0, 'retiring', 'served', 6])
  })

  it('waits T_max for a member that lacks its new share, and no longer', () => {
    const lacking = [sharing(0), sharing(1, { hasShare: false })]
    expect(states(lacking, at(HOUR))).toEqual([
      [1, 'awaiting-repair', 'refused'],
      [0, 'retiring', 'served', 23 * 60],
    ])
    expect(states(lacking, at(HOUR, 24 * HOUR))[1]).toEqual([0, 'retiring', 'served', 0])
    expect(states(lacking, at(24 * HOUR))[1]).toEqual([0, 'retiring', 'served', 0])
  })

  it('keeps the old share for T_max at most while fewer than t members are known to have the new certificate', () => {
    const alone = [sharing(0), sharing(1, { isEstablished: false })]
    expect(states(alone, at(HOUR))).toEqual([
      [1, 'active', 'served'],
      [0, 'retiring', 'served', 23 * 60],
    ])
    expect(states(alone, at(24 * HOUR))[1]).toEqual([0, 'retiring', 'served', 0])
  })

  it('a wall clock years ahead after a restart leaves the grace', () => {
    const lacking = [sharing(0), sharing(1, { hasShare: false })]
    expect(states(lacking, at(MINUTE, 10_000 * HOUR))[1]).toEqual([0, 'retiring', 'served', 9])
  })

  it('a node that left the committee erases after the grace', () => {
    expect(states([sharing(0), sharing(1, { isMember: false, hasShare: false })], at(10 * MINUTE))).toEqual([
      [1, 'not-a-member', 'refused'],
      [0, 'retiring', 'served', 0],
    ])
  })

  it('nothing goes on the word of an attempt that was given up, but on that of the higher one, which wins', () => {
    const givenUp = sharing(1, { mayErase: false })
    expect(states([sharing(0), givenUp], at(1000 * HOUR))).toEqual([
      [1, 'active', 'served'],
      [0, 'retiring', 'served'],
    ])
    const higher = sharing(1, { attempt: 1, seen: at(1000 * HOUR) })
    expect(states([sharing(0), givenUp, higher], at(1000 * HOUR))).toEqual([
      [1, 'active', 'served'],
      [1, 'retiring', 'served', 10],
      [0, 'retiring', 'served', 10],
    ])
  })

  it('starts the clock with the first certificate seen, not with each later one', () => {
    const chain = [sharing(0), sharing(1), sharing(2, { seen: at(9 * MINUTE) })]
    expect(states(chain, at(9 * MINUTE))).toEqual([
      [2, 'active', 'served'],
      [1, 'retiring', 'served', 10],
      [0, 'retiring', 'served', 1],
    ])
  })

  it('refuses every earlier share at once when a peer showed that this disk is behind', () => {
    const behind = [sharing(0), sharing(1, { hasShare: false, refusesEarlier: true })]
    expect(states(behind)).toEqual([
      [1, 'awaiting-repair', 'refused'],
      [0, 'retiring', 'refused', 24 * 60],
    ])
  })

  it('a place that never had a share gets its tombstone, and a stranger none', () => {
    const missing = sharing(0, { hasShare: false })
    expect(states([missing, sharing(1)])[1]).toEqual([0, 'superseded', 'refused', 10])
    expect(states([{ ...missing, isMember: false }, sharing(1)])[1]).toEqual([0, 'superseded', 'refused'])
  })

  it('an erased share is not retiring', () => {
    expect(
      states([sharing(0, { erased: true, hasShare: false }), sharing(1, { hasShare: false }), sharing(2)]),
    ).toEqual([
      [2, 'active', 'served'],
      [1, 'superseded', 'refused', 10],
      [0, 'erased', 'refused'],
    ])
  })
})
