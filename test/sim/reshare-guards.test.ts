import { describe, expect, it } from 'vitest'
import { decodeCertificate, encodeCertificate } from '../../packages/dkg/src/ceremony/certificate.ts'
import { checkCertificate } from '../../packages/dkg/src/ceremony/check-certificate.ts'
import { createCeremonyEngine } from '../../packages/dkg/src/ceremony/engine.ts'
import type { CeremonyEffect, CeremonyInput } from '../../packages/dkg/src/ceremony/engine-types.ts'
import { decodeSigned } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import { simulatedCommittee } from '../support/simulated-committee.ts'
import { reshareOf, sharingOf } from '../support/simulated-reshare.ts'
import { nodeSeed, simulate, SIMULATED_TIMINGS } from '../support/simulation.ts'

const everyone = simulatedCommittee({ n: 8, t: 3, seed: 1 })
const first = simulatedCommittee({ n: 5, t: 3, seed: 1 })
const genesis = sharingOf(first, simulate({ committee: first, seed: 1 }))
const [leaving] = first.identities
if (leaving === undefined) throw new Error('a committee has members')
const without = everyone.identities.filter(({ index }) => index > 1 && index < 7)

describe('an old share is dealt only on the word of the old committee', () => {
  /** Everything a leaving member does with these AUTH signatures, whatever is asked of it. */
  function lifeOf(authorizers: readonly number[], ...inputs: readonly CeremonyInput[]): readonly CeremonyEffect[] {
    const committee = reshareOf(genesis, { members: without, t: 3, authorizers })
    const { spec, previous, authorizations = [], curve, verify } = committee
    if (previous === undefined || leaving === undefined) throw new Error('it is a resharing')
    const engine = createCeremonyEngine({ curve, sign: leaving.sign, verify })
    let { state, effects } = engine.open({
      spec,
      self: leaving.index,
      timings: SIMULATED_TIMINGS,
      previous,
      authorizations,
    })
    const all = [...effects]
    const answers = spec.newConfig.members.map(({ index }) => ({ type: 'status', from: index, messages: [] }) as const)
    const seeds = (): CeremonyInput => ({
      type: 'seeds',
      view: 0,
      dealing: nodeSeed(0, 'dealing', leaving.index),
      oldShare:
        genesis.shares.get(leaving.index)?.use((bytes) => Secret.copyOf(bytes)) ?? new Secret(new Uint8Array(32)),
    })
    for (const input of [...inputs, ...answers, seeds()]) {
      ;({ state, effects } = engine.step(state, input))
      all.push(...effects)
    }
    return all
  }
  const joins = (effects: readonly CeremonyEffect[]): number =>
    effects.filter((effect) => effect.type === 'send' && decodeSigned(effect.signed).header.name === 'join').length

  it('with a full AUTH it joins as a dealer', () => {
    expect(joins(lifeOf([1, 2, 3, 4]))).toBe(1)
  })

  it('with fewer than t_old signatures it does not, though everything else is there', () => {
    expect(joins(lifeOf([1, 2]))).toBe(0)
    expect(joins(lifeOf([]))).toBe(0)
  })

  it('a leaving member that is told to give up deals nothing, whatever its AUTH', () => {
    const effects = lifeOf([1, 2, 3, 4], { type: 'abandon' })
    expect(effects.some(({ type }) => type === 'abandon-refused')).toBe(true)
    expect(effects.some(({ type }) => type === 'need-seeds')).toBe(false)
    expect(joins(effects)).toBe(0)
  })
})

describe('whoever assembles the certificate cannot make a hand-over look degraded', () => {
  it('a member that knows the full AUTH keeps it', () => {
    const committee = reshareOf(genesis, { members: without, t: 3 })
    const { curve, verify } = committee
    const [certificate] = [...simulate({ committee, seed: 2, oldShares: genesis.shares }).values()].flatMap(
      (result) => result.certificate ?? [],
    )
    if (certificate === undefined) throw new Error('the ceremony made no certificate')
    const whole = decodeCertificate(curve, certificate)
    const weak = encodeCertificate({ ...whole, authorizations: whole.authorizations.slice(0, 3) })
    expect(checkCertificate(curve, verify, weak).authorization).toBe('degraded')
    const results = simulate({
      committee,
      seed: 2,
      oldShares: genesis.shares,
      lose: ({ header }) => header.name === 'commit',
      events: committee.identities.map(({ index }) => ({
        atMs: 1_000,
        node: index,
        input: { type: 'certificate', certificate: weak } as const,
      })),
    })
    for (const result of results.values()) {
      expect(result.phase).toBe('archived')
      expect(checkCertificate(curve, verify, result.certificate ?? new Uint8Array()).authorization).toBe('full')
    }
  })
})
