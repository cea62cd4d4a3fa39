import type { KeyId, NodePublicKey } from '@tkms/dkg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createKeyDirectory, type KeyDirectory } from '../../packages/kms-node/src/keys/key-directory.ts'
import { formatKey } from '../../packages/kms-node/src/keys/format-key.ts'
import { type HandMade, keygenByHand, reshareByHand } from '../support/hand-made.ts'
import { createKeyBench, GRACE_MS, install, type KeyBench, type KeyNode } from '../support/key-bench.ts'
import { simulatedCommittee } from '../support/simulated-committee.ts'

const committee = simulatedCommittee({ n: 4, t: 2, seed: 4 })
const { identities } = committee
const [self] = identities
if (self === undefined) throw new Error('four members were made')
const keyIdOf = ({ keyId }: HandMade): KeyId => keyId as unknown as KeyId

let bench: KeyBench
let node: KeyNode
let directory: KeyDirectory
beforeEach(async () => {
  bench = await createKeyBench(committee, self)
  node = await bench.start()
  directory = createKeyDirectory(node.keeper, {
    self: self.publicKey as unknown as NodePublicKey,
    notErased: () => [2, 3],
    dataDir: '/data/alice',
  })
})
afterEach(async () => {
  await node.end()
  await bench.remove()
})

test('generations: the newest one that is not destroyed is for new ciphertexts, older ones decrypt only', async () => {
  const first = keygenByHand(committee.spec, identities)
  const second = keygenByHand({ ...committee.spec, generation: 2 }, identities)
  await install(node, first, self)
  await install(node, second, self)
  const roles = (): readonly string[] => directory.list().map(({ generation, role }) => `${generation} ${role}`)
  expect(roles()).toEqual(['1 decrypt-only', '2 active'])
  expect(directory.problem()).toBeUndefined()
  await node.keeper.destroyKey(keyIdOf(second), Uint8Array.of(1))
  expect(roles()).toEqual(['1 active', '2 destroyed'])
  expect(directory.get(keyIdOf(second))).toMatchObject({ serving: false, destroyedAt: 1_800_000_000 })
})

test('a key shows the life of its sharings, who has not erased, and what to do', async () => {
  const genesis = keygenByHand(committee.spec, identities)
  const made = [genesis]
  for (let epoch = 1; epoch <= 6; epoch++) made.push(reshareByHand(made[epoch - 1] ?? genesis, identities, 2))
  for (const one of made.slice(0, 6)) await install(node, one, self)
  bench.pass(GRACE_MS)
  await node.keeper.eraseDue()
  await node.keeper.learn(made.slice(6).map(({ bytes }) => bytes))
  const key = directory.get(keyIdOf(genesis))
  expect(key?.sharings.map(({ epoch, state }) => `${epoch} ${state}`)).toEqual([
    '6 awaiting-repair',
    '5 retiring',
    '4 erased',
    '3 erased',
    '2 erased',
    '1 erased',
  ])
  expect(key?.sharings.map(({ notErased }) => notErased)).toEqual([undefined, [2, 3], [2, 3], [2, 3], [2, 3], [2, 3]])
  expect(key).toMatchObject({ role: 'awaiting-repair', serving: false, epoch: 6, attempt: 0, index: 1 })
  expect(key?.advice).toContain('repair ecies/test --data-dir /data/alice')
  expect(key && formatKey(key)).toContain('epoch 5   retiring; certified here 2027-01-15T')
  expect(key && formatKey(key)).toContain('not yet erased by node 2, 3')
  expect(directory.get(keyIdOf(keygenByHand({ ...committee.spec, generation: 9 }, identities)))).toBeUndefined()
})

test('the chain comes in pages of 64, by epoch, above what the client has', async () => {
  const genesis = keygenByHand(committee.spec, identities)
  let latest = genesis
  await install(node, genesis, self)
  for (let epoch = 1; epoch <= 70; epoch++) {
    latest = reshareByHand(latest, identities, 2)
    await node.keeper.learn([latest.bytes])
  }
  const first = directory.chain(keyIdOf(genesis), undefined)
  expect(first).toMatchObject({ latest: { epoch: 70, attempt: 0 } })
  expect(first?.certificates).toHaveLength(64)
  expect(first?.certificates[0]).toBe(`0x${Buffer.from(genesis.bytes).toString('hex')}`)
  const second = directory.chain(keyIdOf(genesis), 63)
  expect(second?.certificates).toHaveLength(7)
  expect(second?.certificates.at(-1)).toBe(`0x${Buffer.from(latest.bytes).toString('hex')}`)
  expect(directory.chain(keyIdOf(genesis), 70)?.certificates).toEqual([])
})
