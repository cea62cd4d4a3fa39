import { beforeAll, describe, expect, it } from 'vitest'
import { ceremonyId } from '../../packages/dkg/src/ceremony/config.ts'
import { type CeremonyEffect, PROTOCOL_RULES } from '../../packages/dkg/src/ceremony/engine-types.ts'
import { encodeJoin, encodeVote } from '../../packages/dkg/src/ceremony/messages.ts'
import {
  decodeSigned,
  MAX_DEAL_BYTES,
  type MessageName,
  signMessage,
  type SignedMessage,
} from '../../packages/dkg/src/ceremony/signed-message.ts'
import { copyState } from '../../packages/dkg/src/ceremony/state.ts'
import { Turn } from '../../packages/dkg/src/ceremony/turn.ts'
import type { SharingId } from '../../packages/dkg/src/primitives/types.ts'
import { leader } from '../support/expectations.ts'
import { Bench, seeds } from '../support/bench.ts'
import { bytesOf, type Identity, simulatedCommittee } from '../support/simulated-committee.ts'
import { type NodeResult, simulate } from '../support/simulation.ts'

const committee = simulatedCommittee({ n: 4, t: 2, seed: 2 })
const leaderIndex = leader(committee)
const [member, culprit] = committee.identities.filter(({ index }) => index !== leaderIndex)
if (member === undefined || culprit === undefined) throw new Error('a committee has four members')
const ceremony = ceremonyId(committee.spec)

let results: Map<number, NodeResult>
beforeAll(() => {
  results = simulate({ committee, seed: 1 })
})

const messagesOf = (name: MessageName): SignedMessage[] => {
  const all = [...results.values()].flatMap(({ sent }) => sent.map((signed) => decodeSigned(signed)))
  const named = all.filter(({ header }) => header.name === name)
  return [...new Map(named.map((message) => [message.header.from, message])).values()]
}

/** What the other members sent, in this order of names. */
const others = (...names: readonly MessageName[]): SignedMessage[] =>
  names.flatMap((name) => messagesOf(name).filter(({ header }) => header.from !== member.index))

const signed = ({ index, sign }: Identity, name: MessageName, payload: Uint8Array): SignedMessage =>
  signMessage(sign, { name, ceremony, view: 0, from: index }, payload)

const sends = (effects: readonly CeremonyEffect[], name: MessageName): Uint8Array[] =>
  effects.flatMap((effect) =>
    effect.type === 'send' && decodeSigned(effect.signed).header.name === name ? [effect.signed] : [],
  )

describe('what is remembered', () => {
  it('a member that signed two JOINs stays out of QUAL after a restart, with the evidence at hand', () => {
    const bench = new Bench(committee, member)
    bench.step(seeds(member.index))
    const [first] = messagesOf('join').filter(({ header }) => header.from === culprit.index)
    if (first === undefined) throw new Error('the run has no JOIN')
    const second = signed(
      culprit,
      'join',
      encodeJoin({ role: 'both', receiverKey: committee.curve.generator, dealCommit: bytesOf('c') }),
    )
    bench.hear(first, second)
    expect([...bench.state.faults.keys()]).toEqual([culprit.index])
    bench.restart()
    expect([...bench.state.faults.keys()]).toEqual([culprit.index])
    const shown = bench.step({ type: 'peer-connected', peer: committee.identities[0]?.index ?? member.index })
    expect(sends(shown, 'join')).toEqual(expect.arrayContaining([first.bytes, second.bytes]))
  })

  it('a slot once filled is never filled again', () => {
    const { state } = new Bench(committee, member)
    const turn = new Turn(
      { curve: committee.curve, sign: member.sign, verify: committee.verify },
      PROTOCOL_RULES,
      copyState(state),
    )
    expect(turn.send('vote', bytesOf('one'))).toBeDefined()
    expect(turn.send('vote', bytesOf('other'))).toBeUndefined()
    expect(turn.effects).toHaveLength(1)
  })

  it('whatever a step decides is durable before anything of it is sent', () => {
    const persistLate: string[] = []
    simulate({
      committee,
      seed: 3,
      watch: (index, { effects }) => {
        const at = effects.findIndex(({ type }) => type === 'persist')
        if (at > 0) persistLate.push(`node ${index} at ${at}`)
      },
    })
    expect(persistLate).toEqual([])
  })

  it('every message is in the snapshot before it is first sent', () => {
    const bench = new Bench(committee, member)
    const [join] = sends(bench.step(seeds(member.index)), 'join')
    bench.restart()
    expect(bench.state.sent.get('0/join')?.bytes).toEqual(join)
  })
})

describe('what is not kept', () => {
  it('messages that no honest member sends take no room, whatever their signature says', () => {
    const big = simulatedCommittee({ n: 64, t: 22, seed: 3 })
    const [self, other] = big.identities
    if (self === undefined || other === undefined) throw new Error('a committee has members')
    const bench = new Bench(big, self)
    bench.step(seeds(self.index))
    const sign = (name: MessageName, bytes: number): SignedMessage =>
      signMessage(
        other.sign,
        { name, ceremony: ceremonyId(big.spec), view: 0, from: other.index },
        new Uint8Array(bytes),
      )
    bench.hear(...(['vouch', 'vote', 'commit', 'join', 'complain'] as const).map((name) => sign(name, 20_000)))
    bench.hear(sign('deal', MAX_DEAL_BYTES + 1))
    const { inbox } = bench.state
    for (const kept of [inbox.vouches, inbox.votes, inbox.commits, inbox.complaints, inbox.deals])
      expect(kept.size).toBe(0)
    expect(inbox.joins.size).toBe(1)
  })

  it('at most two dealings of one member are kept, however many it signs', () => {
    const bench = new Bench(committee, member)
    bench.step(seeds(member.index))
    for (let at = 0; at < 10; at++) bench.hear(signed(culprit, 'deal', bytesOf('deal', at)))
    expect(bench.state.inbox.deals.get(culprit.index)?.size).toBe(2)
  })
})

describe('before, after and beside the ceremony', () => {
  const certificate = (): Uint8Array => results.get(leaderIndex)?.certificate ?? new Uint8Array()

  it('messages that come before their turn wait for it, and the node ends like the others', () => {
    const bench = new Bench(committee, member)
    bench.hear(...others('commit', 'vote', 'propose', 'vouch', 'deal', 'joinset', 'join'))
    expect(bench.state.phase.name).toBe('seeding')
    bench.step(seeds(member.index))
    expect(bench.state.phase.name).toBe('complete')
    expect(bench.effects.some((effect) => effect.type === 'complete' && effect.share !== undefined)).toBe(true)
  })

  it('a vote that arrives after the view was left brings no COMMIT; the certificate still brings the share', () => {
    const bench = new Bench(committee, member)
    bench.step(seeds(member.index))
    bench.hear(...others('join', 'joinset', 'deal', 'vouch', 'propose'))
    expect(bench.state.phase.name).toBe('voting')
    bench.step({ type: 'timer', name: 'view', view: 0 })
    expect(bench.state.view).toBe(1)
    bench.hear(...others('vote'))
    bench.restart()
    bench.hear(...others('vote'))
    expect(bench.state.sent.has('0/commit')).toBe(false)
    expect(bench.state.prepared.size).toBe(1)
    const certified = bench.step({ type: 'certificate', certificate: certificate() })
    expect(certified.some((effect) => effect.type === 'complete' && effect.share !== undefined)).toBe(true)
  })

  it('a member that contradicts itself after the end is named, and costs the node nothing', () => {
    const bench = new Bench(committee, member)
    bench.step(seeds(member.index))
    bench.hear(...others('join', 'joinset', 'deal', 'vouch', 'propose', 'vote', 'commit'))
    // The driver has taken the share over and wiped the engine's copy; the key store has not answered yet.
    for (const effect of bench.effects) if (effect.type === 'complete') effect.share?.destroy()
    const vote = encodeVote({ outcomeHash: bytesOf('other') as SharingId, holds: true })
    const named = bench.hear(signed(culprit, 'vote', vote))
    expect(named.map(({ type }) => type)).toContain('fault')
    expect(named.map(({ type }) => type)).not.toContain('persist')
    expect(bench.step({ type: 'stored' }).map(({ type }) => type)).toContain('archive')
  })

  it('forged messages and messages of another ceremony fill no slot and frame nobody', () => {
    const bench = new Bench(committee, member)
    bench.step(seeds(member.index))
    const [join] = messagesOf('join').filter(({ header }) => header.from === culprit.index)
    if (join === undefined) throw new Error('the run has no JOIN')
    const payload = encodeJoin({ role: 'both', receiverKey: committee.curve.generator, dealCommit: bytesOf('c') })
    const forged = signMessage(member.sign, join.header, payload)
    const foreign = signMessage(culprit.sign, { ...join.header, ceremony: bytesOf('x') as typeof ceremony }, payload)
    bench.hear(forged, foreign)
    expect(bench.state.inbox.joins.has(culprit.index)).toBe(false)
    bench.hear(join, forged, foreign)
    expect(bench.state.inbox.joins.get(culprit.index)?.bytes).toEqual(join.bytes)
    expect(bench.state.faults.size).toBe(0)
  })

  it('a certificate of another ceremony of the same committee decides nothing here', () => {
    const other = { ...committee, spec: { ...committee.spec, generation: 2 } }
    const bench = new Bench(other, member)
    bench.step(seeds(member.index))
    bench.step({ type: 'certificate', certificate: certificate() })
    expect(bench.state.phase.name).toBe('joining')
  })

  it('a decided ceremony answers a signed JOIN with its certificate, and nobody in the name of another', () => {
    const bench = new Bench(committee, member)
    bench.step({ type: 'certificate', certificate: certificate() })
    expect(bench.state.phase.name).toBe('complete')
    const [join] = messagesOf('join').filter(({ header }) => header.from === culprit.index)
    if (join === undefined) throw new Error('the run has no JOIN')
    const answered = (message: SignedMessage): boolean =>
      bench.hear(message).some((effect) => effect.type === 'send-certificate' && effect.to === culprit.index)
    const forged = signMessage(member.sign, { ...join.header, from: culprit.index }, join.payload)
    const foreign = signMessage(
      culprit.sign,
      { ...join.header, ceremony: bytesOf('x') as typeof ceremony },
      join.payload,
    )
    expect(answered(forged)).toBe(false)
    expect(answered(foreign)).toBe(false)
    expect(answered(join)).toBe(true)
    expect(answered(join)).toBe(true)
  })

  it('a proposal is voted for only as the voter computes it, and not with a dealer proven faulty', () => {
    const [propose] = messagesOf('propose')
    const [join] = messagesOf('join').filter(({ header }) => header.from === culprit.index)
    const first = committee.identities.find(({ index }) => index === leaderIndex)
    if (propose === undefined || join === undefined || first === undefined) throw new Error('the run has no PROPOSE')
    const vouching = (): Bench => {
      const bench = new Bench(committee, member)
      bench.step(seeds(member.index))
      bench.hear(...others('join', 'joinset', 'deal', 'vouch'))
      return bench
    }
    const bytes = Uint8Array.from(propose.payload)
    // u8 mode || u32 length || u8 1 || ceremony(32) || u32 v0 || sid(32) || keyId(32)
    const keyIdAt = 1 + 4 + 1 + 32 + 4 + 32
    bytes[keyIdAt] = (bytes[keyIdAt] ?? 0) ^ 1
    const altered = vouching()
    altered.hear(signMessage(first.sign, propose.header, bytes))
    // Its leader is proven faulty, so the next view begins at once.
    expect(altered.state.sent.has('0/vote')).toBe(false)
    expect(altered.state.view).toBe(1)
    const warned = vouching()
    warned.hear(signMessage(culprit.sign, join.header, Uint8Array.from([...join.payload.subarray(0, 65), 1])), propose)
    expect([...warned.state.faults.keys()]).toEqual([culprit.index])
    expect(warned.state.phase.name).toBe('vouching')
    const content = vouching()
    content.hear(propose)
    expect(content.state.phase.name).toBe('voting')
  })

  it('votes without a share, and votes and commits for something else, count for nothing', () => {
    const bench = new Bench(committee, member)
    bench.step(seeds(member.index))
    bench.hear(...others('join', 'joinset', 'deal', 'vouch', 'propose'))
    const peers = committee.identities.filter(({ index }) => index !== member.index)
    const [a, b, c] = peers
    const outcome = bench.state.phase.name === 'voting' ? bench.state.phase.outcome : bytesOf('none')
    if (a === undefined || b === undefined || c === undefined) throw new Error('a committee has four members')
    bench.hear(
      signed(a, 'vote', encodeVote({ outcomeHash: outcome, holds: true })),
      signed(b, 'vote', encodeVote({ outcomeHash: outcome, holds: false })),
      signed(c, 'vote', encodeVote({ outcomeHash: bytesOf('other') as SharingId, holds: true })),
    )
    expect(bench.state.phase.name).toBe('voting')
    bench.hear(
      signed(a, 'commit', bytesOf('other')),
      signed(b, 'commit', bytesOf('other')),
      signed(c, 'commit', outcome),
    )
    expect(bench.state.phase.name).toBe('voting')
  })

  it('a COMMIT for something else does not spoil the certificate of those who committed', () => {
    const bench = new Bench(committee, member)
    bench.step(seeds(member.index))
    bench.hear(...others('join', 'joinset', 'deal', 'vouch', 'propose', 'vote'))
    expect(bench.state.phase.name).toBe('committing')
    bench.hear(signed(culprit, 'commit', bytesOf('other')))
    bench.hear(...others('commit').filter(({ header }) => header.from !== culprit.index))
    expect(bench.state.phase.name).toBe('complete')
  })
})
