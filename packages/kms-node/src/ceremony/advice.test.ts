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
  quorum: 4,
  members: [1, 2, 3, 4, 5].map(member),
  lowersThreshold: false,
  notAfter: 2_000,
  faults: [],
}
const ID = status.ceremony.slice(0, 18)
const context = {
  self: 1,
  nowS: 1_000,
  connected: (index: number) => index !== 5,
  dataDir: '/srv/alice',
  lacksShare: false,
}
const only = (...indices: readonly number[]) => ({ ...context, connected: (index: number) => indices.includes(index) })

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
  const alone = only(1)
  const others = { ...waiting, members: [1, 6, 7, 8, 9].map(member) }
  const reached = only(1, 6, 7, 8, 9)
  expect(adviseOn(others, reached)).toContain(`${COMMAND} ceremony approve ${ID} --degraded`)
  const few = { ...others, authorization: { ...authorization, have: 2 } }
  expect(adviseOn(few, reached)).not.toContain('--degraded')
  expect(adviseOn({ ...few, members: status.members }, alone)).not.toContain('--degraded')
})

test('old members that are lost and in the new committee too are left out: no authorization lets it begin', () => {
  const authorization = { have: 3, want: 4, least: 3, missing: [member(4), member(5)] }
  const advice = adviseOn({ ...status, stage: 'authorizing', authorization }, only(1, 2, 3))
  expect(advice).not.toContain(`ceremony approve ${ID}`)
  expect(advice).toContain('it needs 4 of its 5 members')
  expect(advice).toContain('3 members are too few for t = 3')
  expect(advice).toContain(
    `${COMMAND} ceremony propose --reshare ecies/1 --remove node-4 node-5 --add CARD --degraded --supersede --data-dir /srv/alice`,
  )
})

test('nobody is asked to approve who did, or who need only answer', () => {
  const joining: CeremonyStatus = {
    ...status,
    phase: 'joining',
    have: 3,
    missing: [member(2), member(3)],
    begun: [member(2)],
  }
  expect(adviseOn(joining, context)).toContain(`on node-3: ${COMMAND} ceremony approve ${ID}`)
  expect(adviseOn(joining, context)).toContain('node-2 agreed already')
  expect(adviseOn({ ...joining, phase: 'checking', begun: [] }, context)).not.toContain('ceremony approve')
})

test('a view whose leader is away ends by itself, and the advice says when', () => {
  const waiting: CeremonyStatus = {
    ...status,
    phase: 'joining',
    missing: [member(5)],
    leader: member(5),
    viewLimitS: 63,
  }
  expect(adviseOn(waiting, context)).toContain('with the next leader by themselves, at most 63 seconds after 4 of them')
  expect(adviseOn(waiting, only(1, 2, 3))).not.toContain('by themselves')
  expect(adviseOn({ ...waiting, leader: member(4) }, context)).not.toContain('by themselves')
})

test('what is given up here and not signed yet says what it waits for, and the way out without a quorum', () => {
  const leaving: CeremonyStatus = { ...status, phase: 'leaving', have: 3, missing: [member(4), member(5)] }
  const advice = adviseOn(leaving, only(1, 2, 3))
  expect(advice).toContain('the others are told when 1 more of node-4, node-5 have answered')
  expect(advice).toContain('start node-4, node-5')
  expect(advice).toContain(`${COMMAND} ceremony propose --reshare ecies/1 --supersede --data-dir /srv/alice`)
  expect(adviseOn({ ...leaving, kind: 'keygen' }, only(1, 2, 3))).toContain(
    `which takes the next generation: ${COMMAND} ceremony propose --name ecies/1 --data-dir /srv/alice`,
  )
  expect(adviseOn(leaving, context)).not.toContain('--supersede')
})

test('what is given up by too few counts them and names whom it may be done at', () => {
  const left: CeremonyStatus = {
    ...status,
    stage: 'left',
    phase: 'left',
    have: 1,
    want: 5,
    missing: [2, 3, 5].map(member),
  }
  const advice = adviseOn(left, context)
  expect(advice).toContain('given up by 1 of the 4 members that it takes')
  expect(advice).toContain(`on node-2, node-3, unless it was done there: ${COMMAND} ceremony abandon ${ID}`)
  expect(adviseOn({ ...status, stage: 'proposed', abandonedBy: [member(2)] }, context)).toBe(
    `node-2 gave it up, 1 of the 4 that it takes: to give it up here too: ${COMMAND} ceremony abandon ${ID} --data-dir /srv/alice`,
  )
})

test('an epoch that went by without this node says that its share is missing', () => {
  const gone: CeremonyStatus = { ...status, stage: 'superseded' }
  expect(adviseOn(gone, context)).toBeUndefined()
  expect(adviseOn(gone, { ...context, lacksShare: true })).toContain(`${COMMAND} repair ecies/1 --generation 1`)
})

test('an end without a share points to repair, any other end to nothing', () => {
  const done: CeremonyStatus = { ...status, stage: 'complete', holdsShare: false }
  expect(adviseOn(done, context)).toContain(`${COMMAND} repair ecies/1 --generation 1 --data-dir /srv/alice`)
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

test('a member that leaves is not waited for by anybody: it need not be started', () => {
  const leaving: CeremonyStatus = { ...status, members: [1, 2, 3, 4, 6].map(member), n: 5 }
  const joining = adviseOn({ ...leaving, phase: 'joining', missing: [member(5)] }, context)
  expect(joining).toContain('node-5 leaves and need not come back')
  expect(joining).not.toContain('start node-5')
  const authorization = { have: 3, want: 4, least: 3, missing: [member(4), member(5)] }
  const waiting = adviseOn({ ...leaving, stage: 'authorizing', authorization }, context)
  expect(waiting).toContain(`on node-4: ${COMMAND} ceremony approve ${ID}`)
  expect(waiting).not.toContain('start node-5')
})
