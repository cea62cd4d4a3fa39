import { describe, expect, it } from 'vitest'
import { type DealingSecrets, expandDealingSeed } from '../../packages/dkg/src/ceremony/seeds.ts'
import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import type { Secret } from '../../packages/dkg/src/primitives/secret.ts'
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
})
