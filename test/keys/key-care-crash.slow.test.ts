import { bytesKey } from '@tkms/dkg'
import { afterEach, describe, expect, it } from 'vitest'
import { decodeRepairMessage } from '../../packages/dkg/src/repair/messages.ts'
import { keygenByHand } from '../support/hand-made.ts'
import { shareOf, sharingOf } from '../support/key-bench.ts'
import { CareWorld, type Death, isReceipt } from '../support/key-care-bench.ts'
import { simulatedCommittee } from '../support/simulated-committee.ts'

/** Rows 17 and 27 for REPAIR and DESTROY: the power goes at every step of the real store and on both sides of every send. n = 3, t = 2. */

const committee = simulatedCommittee({ n: 3, t: 2, seed: 5, signatures: 'ed25519' })
const made = keygenByHand(committee.spec, committee.identities)
const { keyName } = committee.spec

let world: CareWorld | undefined
afterEach(async () => {
  await world?.remove()
  world = undefined
})

/** Every place where the victim can die, as many as a calm run has; what was not synced is lost at every other step. */
function deaths(steps: number, sends: number): readonly Death[] {
  const disk = Array.from({ length: steps }, (_, step): Death => {
    return { kind: 'disk', step, survives: step % 2 === 0 ? 'synced' : 'everything' }
  })
  const net = Array.from({ length: sends }, (_, send) =>
    [false, true].map((behind): Death => ({ kind: 'send', send, behind })),
  )
  return [...disk, ...net].flat()
}

/** Node 3 lost its share; its operator asks until it is back, the others approve whatever they are asked. */
async function repaired(victim: number, death?: Death): Promise<{ readonly steps: number; readonly sends: number }> {
  const current = await CareWorld.create(committee, made, [3])
  world = current
  const lost = current.node(3)
  current.node(victim).arm(death)
  await current.run(
    async (node) => {
      if (node === lost && !node.hasShare(made) && node.repairs.list().every(({ phase }) => phase === 'done'))
        await node.repairs.repair(keyName)
      for (const { id, role, phase } of node.repairs.list())
        if (role === 'helper' && phase === 'waiting') await node.repairs.approve(id)
    },
    () =>
      lost.hasShare(made) &&
      current.nodes.every(({ repairs }) => repairs.list().every(({ phase }) => phase === 'done')),
    // At every instant t nodes can decrypt: the helpers keep their shares.
    (node) => expect(node === lost || node.hasShare(made)).toBe(true),
  )
  const { steps, sends } = current.node(victim)
  const share = lost.key.keeper.copyShare(sharingOf(made))
  expect(share?.use(bytesKey)).toBe(shareOf(made, lost.identity)?.use(bytesKey))
  const slots = new Map<string, string>()
  for (const { frame } of current.frames) {
    const message = frame.type === 'repair' ? decodeRepairMessage(frame.message) : undefined
    if (message?.kind !== 'contribution') continue
    const slot = bytesKey(message.signed.body.subarray(0, 34))
    expect(slots.get(slot) ?? bytesKey(message.signed.body)).toBe(bytesKey(message.signed.body))
    slots.set(slot, bytesKey(message.signed.body))
  }
  for (const { events } of current.nodes) expect(events).not.toContain('repair-fault')
  await current.remove()
  world = undefined
  return { steps, sends }
}

/** All three operators sign, again and again until it is known that they did. */
async function destroyed(victim: number, death?: Death): Promise<{ readonly steps: number; readonly sends: number }> {
  const current = await CareWorld.create(committee, made, [])
  world = current
  const keyId = `0x${bytesKey(made.keyId)}`
  const early: number[] = []
  current.onSent = (from, frame) => {
    if (isReceipt(frame) && from.hasShare(made)) early.push(from.identity.index)
  }
  current.node(victim).arm(death)
  const ordered = (): boolean => current.nodes.some((node) => node.key.keeper.orders().length > 0)
  await current.run(
    async (node) => {
      if (!node.destroys.hasSigned(made.keyId)) await node.destroys.approve(keyName, 1, keyId, { last: true })
    },
    () => current.nodes.every(({ destroys }) => destroys.list()[0]?.phase === 'gone'),
    // Nobody loses a share before Q members ordered it.
    (node) => expect(ordered() || node.hasShare(made)).toBe(true),
  )
  const { steps, sends } = current.node(victim)
  // A receipt leaves a node only when nothing of the key can be read on it any more.
  expect(early).toEqual([])
  for (const node of current.nodes) {
    expect(await node.key.records.list('share')).toEqual([])
    await node.restart()
    expect(node.hasShare(made)).toBe(false)
    expect(node.key.keeper.list().map(({ destroyedAtMs }) => destroyedAtMs !== undefined)).toEqual([true])
  }
  await current.remove()
  world = undefined
  return { steps, sends }
}

describe('rows 17 and 27: the power goes at every step', () => {
  for (const [who, victim] of [
    ['the node that lost its share', 3],
    ['a helper', 1],
  ] as const)
    it(`of a repair, at ${who}: the share comes back, no slot has two messages`, { timeout: 600_000 }, async () => {
      const calm = await repaired(victim)
      expect(calm.steps).toBeGreaterThanOrEqual(8)
      for (const death of deaths(calm.steps, calm.sends)) await repaired(victim, death)
    })

  it('of a destruction: every node erases, and no receipt comes before its erasure', { timeout: 600_000 }, async () => {
    const calm = await destroyed(2)
    expect(calm.steps).toBeGreaterThanOrEqual(8)
    for (const death of deaths(calm.steps, Math.min(calm.sends, 12))) await destroyed(2, death)
  })
})
