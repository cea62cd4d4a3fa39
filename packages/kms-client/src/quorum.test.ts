import fc from 'fast-check'
import type { ParticipantIndex } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { openQuorum, type QuorumAction, type QuorumEvent, type QuorumStep, stepQuorum } from './quorum.ts'

const index = (value: number): ParticipantIndex => value as ParticipantIndex
const order = (n: number): ParticipantIndex[] => Array.from({ length: n }, (_, at) => index(at + 1))
const asked = (step: QuorumStep): number[] =>
  step.actions.flatMap((action) => (action.type === 'ask' ? [action.index] : []))
const cancelled = (step: QuorumStep): number[] =>
  step.actions.flatMap((action) => (action.type === 'cancel' ? [action.index] : []))
const verdict = (step: QuorumStep): QuorumAction | undefined =>
  step.actions.find((action) => action.type === 'reached' || action.type === 'lost')

function run(n: number, needed: number, events: readonly QuorumEvent[]): QuorumStep {
  return events.reduce<QuorumStep>(
    (step, event) => stepQuorum(step.state, event),
    openQuorum({ order: order(n), needed, spare: 1 }),
  )
}

describe('openQuorum', () => {
  it('asks one node more than it needs, best first', () => {
    const step = openQuorum({ order: [index(4), index(2), index(5), index(1), index(3)], needed: 3, spare: 1 })
    expect(asked(step)).toEqual([4, 2, 5, 1])
  })

  it('asks everybody when there is no spare', () => {
    expect(asked(openQuorum({ order: order(3), needed: 3, spare: 1 }))).toEqual([1, 2, 3])
  })

  it('gives up at once when there are too few candidates', () => {
    const step = openQuorum({ order: order(2), needed: 3, spare: 1 })
    expect(step.actions).toEqual([{ type: 'lost' }])
  })
})

describe('stepQuorum', () => {
  it('stops at exactly the needed number and cancels the rest', () => {
    const step = run(5, 3, [
      { type: 'verified', index: index(2) },
      { type: 'verified', index: index(1) },
      { type: 'verified', index: index(4) },
    ])
    expect(verdict(step)).toEqual({ type: 'reached', indices: [1, 2, 4] })
    expect(cancelled(step)).toEqual([3])
  })

  it('replaces a failed node by the next candidate', () => {
    expect(asked(run(5, 3, [{ type: 'failed', index: index(2) }]))).toEqual([5])
  })

  it('replaces a node whose answer no longer counts, and forgets it for good', () => {
    const step = run(5, 3, [
      { type: 'verified', index: index(1) },
      { type: 'failed', index: index(1) },
    ])
    expect(asked(step)).toEqual([5])
    expect(stepQuorum(step.state, { type: 'verified', index: index(1) }).state).toBe(step.state)
  })

  it('asks another node beside a slow one, whose answer still counts', () => {
    const slow = run(5, 3, [{ type: 'slow', index: index(2) }])
    expect(asked(slow)).toEqual([5])
    const events: QuorumEvent[] = [2, 1, 5].map((value) => ({ type: 'verified', index: index(value) }))
    const step = events.reduce((last, event) => stepQuorum(last.state, event), slow)
    expect(verdict(step)).toEqual({ type: 'reached', indices: [1, 2, 5] })
  })

  it('gives up as soon as the answers can no longer be had', () => {
    const step = run(5, 3, [
      { type: 'failed', index: index(1) },
      { type: 'failed', index: index(2) },
      { type: 'failed', index: index(3) },
    ])
    expect(step.actions).toEqual([{ type: 'lost' }, { type: 'cancel', index: 4 }, { type: 'cancel', index: 5 }])
  })

  it('gives up at the deadline', () => {
    const step = run(5, 3, [{ type: 'verified', index: index(1) }, { type: 'deadline' }])
    expect(verdict(step)).toEqual({ type: 'lost' })
    expect(cancelled(step)).toEqual([2, 3, 4])
  })

  it.each<[string, QuorumEvent]>([
    ['an unknown node', { type: 'verified', index: index(9) }],
    ['a node that was not asked', { type: 'verified', index: index(5) }],
  ])('ignores an answer of %s', (_, event) => {
    const before = openQuorum({ order: order(5), needed: 3, spare: 1 })
    expect(stepQuorum(before.state, event)).toEqual({ state: before.state, actions: [] })
  })

  it('counts a node once', () => {
    const once: QuorumEvent = { type: 'verified', index: index(1) }
    expect(run(5, 3, [once, once, once]).state.outcome).toBe('open')
  })

  it('reaches the quorum exactly when enough nodes answer, in whatever order, and never asks twice', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }).chain((n) =>
          fc.record({
            n: fc.constant(n),
            needed: fc.integer({ min: 1, max: n }),
            spare: fc.integer({ min: 0, max: 3 }),
            honest: fc.array(fc.boolean(), { minLength: n, maxLength: n }),
            picks: fc.array(fc.nat(), { minLength: n, maxLength: n }),
          }),
        ),
        ({ n, needed, spare, honest, picks }) => {
          let step = openQuorum({ order: order(n), needed, spare })
          const pending = asked(step)
          const everAsked = [...pending]
          for (const pick of picks) {
            const [next] = pending.splice(pick % Math.max(1, pending.length), 1)
            if (next === undefined) break
            const type = honest[next - 1] === true ? 'verified' : 'failed'
            step = stepQuorum(step.state, { type, index: index(next) })
            pending.push(...asked(step))
            everAsked.push(...asked(step))
            if (step.state.outcome !== 'open') break
          }
          expect(new Set(everAsked).size).toBe(everAsked.length)
          expect(step.state.outcome).toBe(honest.filter(Boolean).length >= needed ? 'reached' : 'lost')
        },
      ),
    )
  })
})
