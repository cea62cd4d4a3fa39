import { join } from 'node:path'
import type { Secret } from '@tkms/dkg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type HandMade, keygenByHand } from '../support/hand-made.ts'
import {
  answerTo,
  createKeyBench,
  install,
  type KeyBench,
  type KeyNode,
  shareOf,
  sharingOf,
} from '../support/key-bench.ts'
import { simulatedCommittee } from '../support/simulated-committee.ts'

const committee = simulatedCommittee({ n: 4, t: 2, seed: 9 })
const { identities } = committee
const [self] = identities
if (self === undefined) throw new Error('four members were made')
const genesis = keygenByHand(committee.spec, identities)

let bench: KeyBench
let node: KeyNode
const restart = async (meanwhile: () => void = () => undefined): Promise<void> => {
  await node.end()
  meanwhile()
  node = await bench.start()
}
beforeEach(async () => {
  bench = await createKeyBench(committee, self)
  node = await bench.start()
})
afterEach(async () => {
  await node.end()
  await bench.remove()
})

describe('damage', () => {
  test('one share that does not hold is left aside, reported, and made good by a repair; the others are served', async () => {
    const other = keygenByHand({ ...committee.spec, keyName: 'ecies/other' }, identities)
    const wrong = keygenByHand({ ...committee.spec, keyName: 'ecies/wrong' }, identities)
    await install(node, other, self)
    await install(node, wrong, self)
    await node.records.put('share', Buffer.from(wrong.sharingId).toString('hex'), await recordOf(node, other))
    await restart()
    expect(node.problems).toHaveLength(1)
    expect(answerTo(node, other)).toBe('epoch 0')
    expect(answerTo(node, wrong)).toBe('no-share')
    const share = shareOf(wrong, self)
    if (share === undefined) throw new Error('no share')
    await node.keeper.repaired(sharingOf(wrong), share)
    await restart()
    expect(node.problems).toEqual([])
    expect(answerTo(node, wrong)).toBe('epoch 0')
  })

  test.each([
    ['one flipped bit', (bytes: Uint8Array) => bytes.map((byte, at) => (at === 40 ? byte ^ 1 : byte))],
    ['an empty file', () => new Uint8Array(0)],
    ['a lost file', () => undefined],
  ])('%s in the record of a share keeps nobody else from serving', async (_what, change) => {
    const other = keygenByHand({ ...committee.spec, keyName: 'ecies/other' }, identities)
    await install(node, other, self)
    const before = new Set(bench.disk.names(bench.directory))
    await node.records.put('share', Buffer.from(genesis.sharingId).toString('hex'), await shareRecord())
    const [name] = bench.disk.names(bench.directory).filter((file) => !before.has(file) && file.endsWith('.record'))
    if (name === undefined) throw new Error('no record was written')
    await restart(() => bench.disk.damage(join(bench.directory, name), change))
    expect(node.problems).toMatchObject([{ code: 'store-corrupt' }])
    expect(answerTo(node, other)).toBe('epoch 0')
    await install(node, genesis, self)
    await restart()
    expect([node.problems, answerTo(node, genesis)]).toEqual([[], 'epoch 0'])
  })

  /** The record of the share of `genesis`, made by a node of its own. */
  const shareRecord = async (): Promise<Secret> => {
    const scratch = await createKeyBench(committee, self)
    const maker = await scratch.start()
    await install(maker, genesis, self)
    const record = await recordOf(maker, genesis)
    await maker.end()
    await scratch.remove()
    return record
  }
})

async function recordOf({ records }: KeyNode, made: HandMade): Promise<Secret> {
  const record = await records.get('share', Buffer.from(made.sharingId).toString('hex'))
  if (record === undefined) throw new Error('no record')
  return record
}
