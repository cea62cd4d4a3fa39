import { expect, test } from 'vitest'
import { COMMAND } from '../command.ts'
import { adviseOn } from './advice.ts'
import type { CeremonyStatus } from './status.ts'

const member = (index: number) => ({ index, name: `node-${index}` })
const status: CeremonyStatus = {
  ceremony: `0x${'ab'.repeat(32)}`,
  kind: 'reshare',
  stage: 'running',
  keyName: 'ecies/1',
  purpose: 'ecies-dec',
  generation: 1,
  epoch: 1,
  attempt: 0,
  n: 5,
  t: 3,
  members: [1, 2, 3, 4, 5].map(member),
  lowersThreshold: false,
  notAfter: 2_000,
  faults: [],
}
const ID = status.ceremony.slice(0, 18)
const context = { self: 1, nowS: 1_000, connected: (index: number) => index !== 5, dataDir: '/srv/alice' }

test('an unapproved proposal names the command for this node', () => {
  expect(adviseOn({ ...status, stage: 'proposed' }, context)).toBe(
    `to let this node take part: ${COMMAND} ceremony approve ${ID} --data-dir /srv/alice`,
  )
})

test('who is away must be started, who is there must approve', () => {
  const advice = adviseOn({ ...status, phase: 'joining', missing: [member(4), member(5)] }, context)
  expect(advice).toContain('waiting for node-4, node-5')
  expect(advice).toContain(`on node-4: ${COMMAND} ceremony approve ${ID}`)
  expect(advice).toContain(`start node-5 (${COMMAND} start`)
})

test('a long wait says since when and how to give up; a short one does not', () => {
  const waiting: CeremonyStatus = { ...status, phase: 'voting', missing: [member(4)], since: 1_000 }
  expect(adviseOn(waiting, context)).not.toContain('ceremony abandon')
  const advice = adviseOn(waiting, { ...context, nowS: 1_000 + 1_800 })
  expect(advice).toContain('no progress for 30 minutes')
  expect(advice).toContain(`${COMMAND} ceremony abandon ${ID}`)
  expect(advice).not.toContain('ceremony approve')
})

test('a missing AUTH names the members, and a degraded one only where enough signed and too many are away', () => {
  const authorization = { have: 3, want: 4, least: 3, missing: [member(4), member(5)] }
  const waiting: CeremonyStatus = { ...status, stage: 'authorizing', authorization }
  expect(adviseOn(waiting, context)).toContain('3 times of 4; missing: node-4, node-5')
  expect(adviseOn(waiting, context)).not.toContain('--degraded')
  const alone = { ...context, connected: () => false }
  expect(adviseOn(waiting, alone)).toContain(`${COMMAND} ceremony approve ${ID} --degraded`)
  const few = { ...waiting, authorization: { ...authorization, have: 2 } }
  expect(adviseOn(few, alone)).not.toContain('--degraded')
})

test('an end without a share points to repair, any other end to nothing', () => {
  const done: CeremonyStatus = { ...status, stage: 'complete', holdsShare: false }
  expect(adviseOn(done, context)).toContain(`${COMMAND} repair ecies/1 --data-dir /srv/alice`)
  expect(adviseOn({ ...done, holdsShare: true }, context)).toBeUndefined()
  expect(adviseOn(done, { ...context, self: 9 })).toBeUndefined()
  expect(adviseOn({ ...status, stage: 'abandoned' }, context)).toBeUndefined()
})

test('after an import the importer is told what must happen to the old copy', () => {
  const done: CeremonyStatus = {
    ...status,
    kind: 'import',
    stage: 'complete',
    holdsShare: true,
    old: { n: 1, t: 1, members: [member(1)] },
  }
  expect(adviseOn(done, context)).toContain(`${COMMAND} ceremony propose --refresh ecies/1 --data-dir /srv/alice`)
  expect(adviseOn(done, context)).toContain('erase the key where it came from')
  expect(adviseOn(done, { ...context, self: 2 })).toBeUndefined()
})
