import { describe, expect, it } from 'vitest'
import { type DealingSecrets, expandDealingSeed } from '../../packages/dkg/src/ceremony/seeds.ts'
import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import { simulatedCommittee } from '../support/simulated-committee.ts'
import { nodeSeed, simulate } from '../support/simulation.ts'

const committee = simulatedCommittee({ n: 4, t: 2, seed: 2 })

const contains = (secret: Secret, needle: Secret): boolean =>
  secret.use((hay) => needle.use((bytes) => bytesKey(hay).includes(bytesKey(bytes))))

describe('what is erased, and when', () => {
  it('coefficients, ephemeral key and nonce are wiped with the DEAL, and no snapshot behind it has them', () => {
    const held: DealingSecrets[] = []
    const members = committee.spec.newConfig.members.map(({ index }) => index)
    const dealt = (index: number): DealingSecrets =>
      expandDealingSeed(nodeSeed(0, 'dealing', index), committee.spec.newConfig.t, members)
    let before = 0
    let leaked = 0
    simulate({
      committee,
      seed: 5,
      watch: (index, { state, effects }) => {
        if (state.phase.name === 'joining' && state.phase.dealing !== undefined) held.push(state.phase.dealing)
        const { coefficients, ephemeral, nonce } = dealt(index)
        for (const effect of effects) {
          if (effect.type !== 'persist') continue
          const found = [...coefficients, ephemeral].filter((secret) => contains(effect.snapshot, secret)).length
          if (!state.sent.has('0/deal')) before += contains(effect.snapshot, nonce) ? found : 0
          else leaked += found
        }
      },
    })
    expect(before).toBeGreaterThanOrEqual(committee.identities.length * 3)
    expect(leaked).toBe(0)
    expect(held.length).toBeGreaterThanOrEqual(committee.identities.length)
    for (const { coefficients, ephemeral, nonce, auxA, auxR } of held)
      for (const secret of [...coefficients, ephemeral, nonce, auxA, auxR]) expect(secret.destroyed).toBe(true)
  })

  it('receiver key, dealt shares and the share itself are wiped when the ceremony is archived', () => {
    const secrets = new Set<Secret>()
    simulate({
      committee,
      seed: 6,
      watch: (_index, { state: { phase, verdicts, receiverKeys, prepared } }) => {
        for (const { key, aux } of receiverKeys.values()) secrets.add(key).add(aux)
        for (const { share } of prepared.values()) secrets.add(share)
        if (phase.name === 'complete' && phase.share !== undefined) secrets.add(phase.share)
        for (const verdict of verdicts.values())
          if (verdict.kind === 'good' && verdict.share !== undefined) secrets.add(verdict.share)
      },
    })
    expect(secrets.size).toBeGreaterThanOrEqual(committee.identities.length * (2 + 1 + 3))
    expect([...secrets].filter((secret) => !secret.destroyed)).toEqual([])
  })

  it('row 29: what is on disk behind the certificate opens no recorded dealing: no receiver key of any view is in it', () => {
    const receiverKeys = new Map<number, Set<Secret>>()
    const disks = new Map<number, Secret>()
    let decided = 0
    simulate({
      committee,
      seed: 7,
      // The first view fails, so that keys of two views exist.
      lose: ({ header }) => header.name === 'vote' && header.view === 0,
      watch: (index, { state, effects }) => {
        const keys = receiverKeys.get(index) ?? new Set<Secret>()
        for (const { key } of state.receiverKeys.values()) keys.add(key.use((bytes) => Secret.copyOf(bytes)))
        receiverKeys.set(index, keys)
        for (const effect of effects) {
          if (effect.type === 'persist')
            disks.set(
              index,
              effect.snapshot.use((bytes) => Secret.copyOf(bytes)),
            )
          if (effect.type === 'complete') decided += 1
        }
      },
    })
    expect(decided).toBe(committee.identities.length)
    for (const [index, keys] of receiverKeys) {
      const disk = disks.get(index)
      if (disk === undefined) throw new Error('nothing was persisted')
      expect(new Set([...keys].map((key) => key.use(bytesKey))).size).toBeGreaterThanOrEqual(2)
      for (const key of keys) expect(contains(disk, key)).toBe(false)
    }
  })
})
