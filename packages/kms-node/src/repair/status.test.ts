import { expect, test } from 'vitest'
import { adviseOnRepair, type RepairStatus } from './status.ts'

const node = (index: number) => ({ index, name: `node-${index}` })
const status: Omit<RepairStatus, 'advice'> = {
  id: `0x${'ab'.repeat(32)}`,
  role: 'recoverer',
  keyName: 'ecies/1',
  generation: 1,
  epoch: 0,
  recoverer: node(4),
  phase: 'collecting',
  missing: [1, 2, 3].map(node),
  approved: [1, 2].map(node),
  refusals: [],
  since: 0,
}
const ID = status.id.slice(0, 18)
const adviceWith = (connected: readonly number[], change: Partial<RepairStatus> = {}) =>
  adviseOnRepair(
    { ...status, ...change },
    {
      command: 'kms-node',
      dataDir: '/srv/dave',
      connected: (index) => connected.includes(index),
    },
  )

test('who approved is not blamed for the one that did not', () => {
  expect(adviceWith([1, 2])).toBe(
    `node-1 (1), node-2 (2) approved and wait for node-3 (3). node-3 (3): no connection from here; start it, or ask another node instead: kms-node repair replace ${ID} node-3 --data-dir /srv/dave.`,
  )
})

test('who is there and was asked must approve, also where it is away since', () => {
  const refusals = [{ node: node(3), reason: 'waiting' as const }]
  expect(adviceWith([1, 2, 3], { refusals })).toContain(
    'node-3 (3) must approve: there, kms-node repair status --data-dir DIR',
  )
  expect(adviceWith([1, 2, 3], { refusals, request: `0x${'cd'.repeat(32)}` })).toContain(
    'node-3 (3) must approve request 0xcdcdcdcdcdcdcdcd: there, kms-node repair status',
  )
  expect(adviceWith([1, 2], { refusals })).not.toContain('must approve')
  expect(adviceWith([1, 2, 3])).toContain('node-3 (3) did not answer yet')
})

test('when all contributed only one that went away since is named', () => {
  const all = { approved: [1, 2, 3].map(node), missing: [node(2), node(3)] }
  expect(adviceWith([1, 2, 3], all)).toBeUndefined()
  expect(adviceWith([1, 3], all)).toBe(
    `node-1 (1), node-3 (3) approved and wait for node-2 (2). node-2 (2): no connection from here; start it, or ask another node instead: kms-node repair replace ${ID} node-2 --data-dir /srv/dave.`,
  )
})

test('commands that are run here name the data directory of this node', () => {
  const helper = { role: 'helper', phase: 'waiting' } as const
  expect(adviceWith([], helper)).toContain(`kms-node repair approve ${ID} --data-dir /srv/dave`)
  expect(adviceWith([], helper)).toContain(`kms-node repair deny ${ID} --data-dir /srv/dave`)
  expect(adviceWith([], { phase: 'stuck' })).toContain(`repair retry ${ID} --data-dir /srv/dave`)
})
