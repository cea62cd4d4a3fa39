import { afterEach, beforeEach, expect, test } from 'vitest'
import { encodeCertificate } from '../../packages/dkg/src/ceremony/certificate.ts'
import { keygenByHand, reshareByHand } from '../support/hand-made.ts'
import {
  createKeyBench,
  GRACE_MS,
  hear,
  install,
  type KeyBench,
  type KeyNode,
  MAX_RETIRING_MS,
  sharingOf,
  statesOf,
} from '../support/key-bench.ts'
import { simulatedCommittee } from '../support/simulated-committee.ts'

/** Two certificates of one sharing: n = 5, t = 3, f = 1, so three AUTH signatures are a degraded AUTH and four a full one. */

const committee = simulatedCommittee({ n: 5, t: 3, seed: 8 })
const { identities } = committee
const [self] = identities
if (self === undefined) throw new Error('five members were made')
const genesis = keygenByHand(committee.spec, identities)
const refreshed = reshareByHand(genesis, identities, 3)
const weak = reshareByHand(genesis, identities, 3, { authorizers: identities.slice(0, 3) })
const shown = (): readonly (readonly unknown[])[] =>
  [node.keeper.find(sharingOf(refreshed))].map((known) => [known?.key.authorization, known?.mayErase])

let bench: KeyBench
let node: KeyNode
beforeEach(async () => {
  bench = await createKeyBench(committee, self)
  node = await bench.start()
})
afterEach(async () => {
  await node.end()
  await bench.remove()
})

test('a full AUTH takes the place of a degraded one of the same sharing, for good, and orders to erase from then on', async () => {
  await install(node, genesis, self)
  await install(node, weak, self, { mayErase: false })
  expect(shown()).toEqual([['degraded', false]])
  bench.pass(2 * MAX_RETIRING_MS)
  expect(await node.keeper.learn([refreshed.bytes])).toMatchObject({
    keys: [{ epoch: 1, authorization: 'full' }],
    refused: [],
  })
  expect(shown()).toEqual([['full', true]])
  await node.keeper.eraseDue()
  expect(statesOf(node)).toEqual(['1 active', '0 retiring'])
  await node.end()
  node = await bench.start()
  expect(shown()).toEqual([['full', true]])
  hear(node, refreshed, identities)
  bench.pass(GRACE_MS)
  await node.keeper.eraseDue()
  expect(statesOf(node)).toEqual(['1 active', '0 erased'])
})

test('the ceremony brings the full AUTH as well as a peer does', async () => {
  await install(node, genesis, self)
  await node.keeper.learn([weak.bytes])
  expect(shown()).toEqual([['degraded', false]])
  await install(node, refreshed, self)
  expect(shown()).toEqual([['full', true]])
  expect(statesOf(node)).toEqual(['1 active', '0 retiring'])
})

test('a degraded AUTH never takes the place of a full one, nor does one that only looks full', async () => {
  await install(node, genesis, self)
  await node.keeper.learn([weak.bytes])
  const { certificate } = refreshed
  const [first] = certificate.authorizations
  const authorizations = certificate.authorizations.map((entry) => ({ ...entry, ...first, index: entry.index }))
  const forged = encodeCertificate({ ...certificate, authorizations })
  expect((await node.keeper.learn([forged])).refused).toMatchObject([{ code: 'bad-certificate' }])
  expect(shown()).toEqual([['degraded', false]])
  await node.keeper.learn([refreshed.bytes])
  await node.keeper.learn([weak.bytes])
  await install(node, weak, self)
  expect(shown()).toEqual([['full', true]])
  expect((await node.records.list('sharing')).length).toBe(2)
})
