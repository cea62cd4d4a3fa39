import { expect, it } from 'vitest'
import { acceptedStanding, phaseOf, refusedStanding } from './peer-standing.ts'

const HOUR_MS = 3_600_000
const accepted = acceptedStanding(
  { kind: 'accepted', tee: 'tdx', measurement: 'v1', tcbStatus: 'UpToDate', expiresMs: 30 * 24 * HOUR_MS },
  'same',
  0,
)

it.each([
  ['missing', 'proven'],
  ['collateral', 'proven'],
  ['expired', 'refused'],
  ['measurement', 'refused'],
  ['revoked', 'refused'],
] as const)('a renewal refused as %s leaves what stood %s', (reason, phase) => {
  const after = refusedStanding(accepted, { reason, dateOnly: false, nowMs: 12 * HOUR_MS })
  expect(phaseOf(after, 12 * HOUR_MS)).toBe(phase)
})

it('what nobody could renew ends after a day', () => {
  const after = refusedStanding(accepted, { reason: 'collateral', dateOnly: false, nowMs: 12 * HOUR_MS })
  expect(phaseOf(after, 24 * HOUR_MS)).toBe('unproven')
  expect(phaseOf(refusedStanding(undefined, { reason: 'collateral', dateOnly: false, nowMs: 0 }), 0)).toBe('refused')
})
