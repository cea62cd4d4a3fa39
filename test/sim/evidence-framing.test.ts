import * as fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { configHash } from '../../packages/dkg/src/ceremony/config.ts'
import { type CeremonyFaultKind, encodeEvidence } from '../../packages/dkg/src/ceremony/evidence.ts'
import { type MessageName, type SignedMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { verifyEvidence } from '../../packages/dkg/src/evidence/verify-evidence.ts'
import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import { encodeRepairEvidence } from '../../packages/dkg/src/repair/evidence.ts'
import type { SignedBody } from '../../packages/dkg/src/repair/signed-body.ts'
import { dealBadShare } from '../support/adversaries.ts'
import { RepairBench } from '../support/repair-bench.ts'
import { repairCase } from '../support/repair-case.ts'
import { type Committee, simulatedCommittee } from '../support/simulated-committee.ts'
import { reshareOf, type Sharing, sharingOf } from '../support/simulated-reshare.ts'
import { simulate, type SimulationOptions } from '../support/simulation.ts'

/** Messages of honest members, arranged as evidence in every way: nobody who did as it should can be named (protocol 7). */

const KINDS: readonly CeremonyFaultKind[] = ['E1', 'E2', 'E3', 'E4', 'E5']
const everyone = simulatedCommittee({ n: 7, t: 3, seed: 1 })
const first = simulatedCommittee({ n: 5, t: 3, seed: 1 })
const { curve, verify } = first

interface Run {
  readonly name: string
  readonly committee: Committee
  readonly messages: readonly SignedMessage[]
  /** The only one who may be named. */
  readonly guilty?: number
}

function recorded(name: string, committee: Committee, options: Partial<SimulationOptions>, guilty?: number): Run {
  const messages = new Map<string, SignedMessage>()
  const results = simulate({
    committee,
    seed: 3,
    overhear: (message) => messages.set(bytesKey(message.bytes), message),
    ...options,
  })
  for (const result of results.values())
    for (const fault of result.faults) expect(fault.culprit, `in ${name}`).toBe(guilty)
  return { name, committee, messages: [...messages.values()], ...(guilty !== undefined && { guilty }) }
}

const loseCommits: SimulationOptions['lose'] = ({ header }) => header.name === 'commit' && header.view === 0

const runs: Run[] = []
beforeAll(() => {
  const genesis: Sharing = sharingOf(first, simulate({ committee: first, seed: 1 }))
  const members = everyone.identities.filter(({ index }) => index !== 2)
  const second = reshareOf(genesis, { members, t: 3 })
  const oldShares = genesis.shares
  // Every run is of a ceremony of its own: two runs of one would be two lives of its members that know nothing of each other.
  const another = { ...first, spec: { ...first.spec, generation: 2 } }
  const retried = reshareOf(genesis, { members, t: 3, attempt: 1 })
  runs.push(
    recorded('a key generation in which nodes die', first, { crashProbability: 0.02 }),
    recorded('a key generation of two views', another, { lose: loseCommits, crashProbability: 0.01 }),
    recorded('a resharing of two views', second, { oldShares, lose: loseCommits }),
    recorded('a resharing in which nodes die', retried, { oldShares, seed: 9, crashProbability: 0.01 }),
    recorded('a bad share', first, { tamper: new Map([[4, dealBadShare(first, 4, 5)]]) }, 4),
  )
})

function named(run: Run, kind: CeremonyFaultKind, messages: readonly SignedMessage[]): number | undefined {
  const { committee } = run
  const evidence = encodeEvidence(kind, committee.spec, messages, committee.previous?.certificate)
  const pins = { configHash: configHash(first.spec.newConfig), members: everyone.identities }
  return verifyEvidence(curve, verify, evidence, pins)?.culprit
}

const of = (run: Run, name: MessageName): SignedMessage[] => run.messages.filter(({ header }) => header.name === name)

/** Every arrangement that evidence of some kind has a meaning for. */
function* arrangements(run: Run): Generator<readonly [CeremonyFaultKind, readonly SignedMessage[]]> {
  const deals = of(run, 'deal')
  for (const joinset of of(run, 'joinset')) {
    yield ['E5', [joinset]]
    for (const deal of deals) {
      yield ['E1', [joinset, deal]]
      for (const complain of of(run, 'complain'))
        for (const kind of ['E3', 'E4'] as const) yield [kind, [joinset, deal, complain]]
    }
  }
  for (const propose of of(run, 'propose')) {
    yield ['E5', [propose]]
    for (const joinset of of(run, 'joinset')) yield ['E5', [propose, joinset]]
    for (let from = 0; from < deals.length; from++)
      for (let to = from; to <= deals.length; to++) {
        const some = deals.slice(from, to)
        yield ['E5', [propose, ...some]]
        yield ['E5', [propose, ...some.toSorted((left, right) => left.header.from - right.header.from)]]
      }
  }
  for (const one of run.messages)
    for (const other of run.messages) if (one.header.from === other.header.from) yield ['E2', [one, other]]
}

describe('evidence frames nobody', () => {
  it('no arrangement of the messages of a run that has a meaning names anybody but the guilty', () => {
    for (const run of runs) {
      expect(new Set(run.messages.map(({ header }) => header.name)).size).toBeGreaterThanOrEqual(7)
      const guilty = new Set<number>()
      for (const [kind, messages] of arrangements(run)) {
        const culprit = named(run, kind, messages)
        if (culprit !== undefined) guilty.add(culprit)
      }
      expect([...guilty], `in ${run.name}`).toEqual(run.guilty === undefined ? [] : [run.guilty])
    }
    expect(runs.filter((run) => of(run, 'propose').length > 1)).not.toEqual([])
  })

  it('no other arrangement does either, of messages of one run or of several, under any X', () => {
    const innocent = runs.filter(({ guilty }) => guilty === undefined)
    const all = innocent.flatMap(({ messages }) => messages)
    fc.assert(
      fc.property(
        fc.constantFrom(...innocent),
        fc.constantFrom(...KINDS),
        fc.array(fc.nat({ max: all.length - 1 }), { minLength: 1, maxLength: 6 }),
        (run, kind, chosen) => {
          const messages = chosen.flatMap((at) => all[at] ?? [])
          expect(named(run, kind, messages)).toBeUndefined()
        },
      ),
      { numRuns: 1_500 },
    )
  })

  it('row 33: M1s and REQs of honest repairs, crashes and all, prove nothing in any pair', () => {
    const repair = repairCase(5, 3, 61)
    const [recoverer, other] = repair.identities.map(({ index }) => index)
    if (recoverer === undefined || other === undefined) throw new Error('n = 5')
    const benches = [
      new RepairBench(repair, { recoverer }).run(),
      new RepairBench(repair, { recoverer, crash: { at: 9, behind: true } }).run(),
      new RepairBench(repair, { recoverer: other }).run(),
    ]
    const bodies = (kind: 'request' | 'contribution'): SignedBody[] => {
      const seen = new Map<string, SignedBody>()
      for (const { message } of benches.flatMap(({ sent }) => sent))
        if (message.kind === kind && (message.kind === 'request' || message.kind === 'contribution'))
          seen.set(bytesKey(message.signed.bytes), message.signed)
      return [...seen.values()]
    }
    const [requests, contributions] = [bodies('request'), bodies('contribution')]
    expect(requests.length).toBeGreaterThanOrEqual(2)
    expect(contributions.length).toBeGreaterThanOrEqual(6)
    const { certificate, config } = repair.sharing
    const pins = { configHash: configHash(config) }
    const verdict = (kind: 'E2' | 'E7', request: SignedBody, given: readonly SignedBody[]) =>
      verifyEvidence(curve, verify, encodeRepairEvidence(kind, certificate, request, given), pins)
    for (const request of [...requests, ...contributions.slice(0, 2)])
      for (const one of [...contributions, ...requests]) {
        expect(verdict('E7', request, [one])).toBeUndefined()
        for (const second of contributions) expect(verdict('E2', request, [one, second])).toBeUndefined()
      }
  })
})
