import { beforeAll, describe, expect, it } from 'vitest'
import { signAuthorization } from '../../packages/dkg/src/ceremony/authorization.ts'
import { doubleAuthorization } from '../../packages/dkg/src/ceremony/authorization-evidence.ts'
import { type CeremonySpec, configHash } from '../../packages/dkg/src/ceremony/config.ts'
import { type CeremonyFaultKind, encodeEvidence } from '../../packages/dkg/src/ceremony/evidence.ts'
import { encodePropose } from '../../packages/dkg/src/ceremony/messages.ts'
import { decodeSigned, type SignedMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import type { EvidencePins } from '../../packages/dkg/src/evidence/identities.ts'
import { verifyEvidence } from '../../packages/dkg/src/evidence/verify-evidence.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import { CraftedView, otherConstant } from '../support/crafted-view.ts'
import { bytesOf, type Committee, simulatedCommittee } from '../support/simulated-committee.ts'
import { importOf, reshareOf, type Sharing, sharingOf } from '../support/simulated-reshare.ts'
import { simulate } from '../support/simulation.ts'

/** Evidence about ceremonies after the first one, verified from what a cluster file holds and nothing else (protocol 7). */

const everyone = simulatedCommittee({ n: 8, t: 3, seed: 1 })
const first = simulatedCommittee({ n: 5, t: 3, seed: 1 })
const { curve, verify } = first
const genesisPin = { configHash: configHash(first.spec.newConfig) }
const members = (...indices: readonly number[]) => everyone.identities.filter(({ index }) => indices.includes(index))

let genesis: Sharing
let second: Sharing
/** genesis 1..5, second 1 2 6 7 8, third 2 6 7 8. */
let third: Committee
beforeAll(() => {
  genesis = sharingOf(first, simulate({ committee: first, seed: 1 }))
  const committee = reshareOf(genesis, { members: members(1, 2, 6, 7, 8), t: 3 })
  second = sharingOf(committee, simulate({ committee, seed: 2, oldShares: genesis.shares }))
  third = reshareOf(second, { members: members(2, 6, 7, 8), t: 2 })
})

const encoded = (committee: Committee, kind: CeremonyFaultKind, messages: readonly SignedMessage[]): Uint8Array =>
  encodeEvidence(kind, committee.spec, messages, committee.previous?.certificate)

const culprit = (
  committee: Committee,
  kind: CeremonyFaultKind,
  messages: readonly SignedMessage[],
  pins: EvidencePins,
) => verifyEvidence(curve, verify, encoded(committee, kind, messages), pins)?.culprit

const chain = (): EvidencePins => ({ ...genesisPin, certificates: [genesis.certificate, second.certificate] })

/** One dealer deals another constant than its old share, with everything else in order. */
function wrongDealing(committee: Committee, sharing: Sharing, dealer: number): SignedMessage[] {
  const view = new CraftedView(committee, 0)
  const constantOf = (index: number) => (index === dealer ? otherConstant('s + 1') : sharing.shares.get(index))
  const joinset = view.joinsetOfAll(constantOf)
  return [joinset, view.deal(dealer, joinset, constantOf(dealer))]
}

describe('row 25: a dealer that deals another constant than its old share', () => {
  it('is proven guilty (E1, D5) from the pinned hash, the old certificate standing in the evidence', () => {
    const committee = reshareOf(genesis, { members: members(1, 2, 3, 4, 6), t: 3 })
    const messages = wrongDealing(committee, genesis, 2)
    expect(culprit(committee, 'E1', messages, genesisPin)).toBe(2)
    const view = new CraftedView(committee, 0)
    const joinset = view.joinsetOfAll((index) => genesis.shares.get(index))
    const honest = view.deal(2, joinset, genesis.shares.get(2))
    expect(culprit(committee, 'E1', [joinset, honest], genesisPin)).toBeUndefined()
  })

  it('is proven guilty in a later epoch, from the certificates that lead there', () => {
    const messages = wrongDealing(third, second, 7)
    expect(culprit(third, 'E1', messages, chain())).toBe(7)
    // The previous certificate in the evidence is the last link itself.
    expect(culprit(third, 'E1', messages, { ...genesisPin, certificates: [genesis.certificate] })).toBe(7)
  })

  it('is nobody the pins know without them: anybody can make keys and a committee of them', () => {
    const messages = wrongDealing(third, second, 7)
    expect(culprit(third, 'E1', messages, genesisPin)).toBeUndefined()
    expect(culprit(third, 'E1', messages, { configHash: bytesOf('other'), certificates: [second.certificate] })).toBe(
      undefined,
    )
    // A member of the genesis committee is known, whatever later committee it deals in.
    expect(culprit(third, 'E1', wrongDealing(third, second, 2), { ...genesisPin, members: members(2) })).toBe(2)
    expect(culprit(third, 'E1', messages, { ...genesisPin, members: members(7) })).toBe(7)
    const posing = { ...members(7)[0], publicKey: members(8)[0]?.publicKey }
    expect(culprit(third, 'E1', messages, { ...genesisPin, members: [posing as never] })).toBeUndefined()
  })

  it('proves nothing beside another certificate than the one X names', () => {
    const messages = wrongDealing(third, second, 7)
    for (const certificate of [genesis.certificate, new Uint8Array(0), bytesOf('noise')]) {
      const evidence = encodeEvidence('E1', third.spec, messages, certificate)
      expect(verifyEvidence(curve, verify, evidence, chain())).toBeUndefined()
    }
  })

  it('row 26: an importer that deals another key than the named one is proven guilty', () => {
    const [importer] = first.identities
    if (importer === undefined) throw new Error('a committee has members')
    const committee = importOf(first, importer, new Secret(bytesOf('the key')))
    const view = new CraftedView(committee, 0)
    const deal = (label: string): SignedMessage[] => {
      const constant = label === 'true' ? new Secret(bytesOf('the key')) : otherConstant(label)
      const joinset = view.joinsetOfAll((index) => (index === importer.index ? constant : undefined))
      return [joinset, view.deal(importer.index, joinset, constant)]
    }
    expect(culprit(committee, 'E1', deal('another'), genesisPin)).toBe(importer.index)
    expect(culprit(committee, 'E1', deal('true'), genesisPin)).toBeUndefined()
  })
})

describe('E2 beyond two messages of one name', () => {
  const auth = (index: number, committee: Committee, spec: CeremonySpec = committee.spec) => {
    const identity = everyone.identities.find((one) => one.index === index)
    if (identity === undefined) throw new Error('eight identities')
    return { spec, signature: signAuthorization(identity.sign, spec, identity.index).signature }
  }

  it('row 53: two AUTHs of one member in one slot and attempt', () => {
    const rivals = [members(1, 2, 3, 4, 6), members(1, 2, 3, 4, 7)].map((next) =>
      reshareOf(genesis, { members: next, t: 3 }),
    )
    const [one, other] = rivals
    const [again] = rivals
    if (one === undefined || other === undefined || again === undefined) throw new Error('two rivals')
    const fault = doubleAuthorization(verify, members(3)[0]?.index as never, auth(3, one), auth(3, other))
    expect(verifyEvidence(curve, verify, fault?.evidence ?? new Uint8Array(), genesisPin)).toEqual(fault)
    expect(fault).toMatchObject({ kind: 'E2', culprit: 3 })
    const stranger = { configHash: bytesOf('other') }
    expect(verifyEvidence(curve, verify, fault?.evidence ?? new Uint8Array(), stranger)).toBeUndefined()
    // One X twice, two attempts of a slot, two members: no fault.
    const index = 3 as never
    expect(doubleAuthorization(verify, index, auth(3, one), auth(3, again))).toBeUndefined()
    expect(doubleAuthorization(verify, index, auth(3, one), auth(4, other))).toBeUndefined()
    const higher = reshareOf(genesis, { members: members(1, 2, 3, 4, 7), t: 3, attempt: 1 })
    expect(doubleAuthorization(verify, index, auth(3, one), auth(3, higher))).toBeUndefined()
    expect(doubleAuthorization(verify, 7 as never, auth(7, one), auth(7, other))).toBeUndefined()
  })

  it('a COMMIT beside an ABANDON, or beside a later JOIN that hides it', () => {
    const view = new CraftedView(third, 1)
    const later = new CraftedView(third, 3)
    const commit = view.sign('commit', 6, bytesOf('o'))
    const abandon = view.sign('abandon', 6, new Uint8Array(0), 0)
    const joins = (cert1?: Uint8Array) => later.join(6, cert1 && { cert1 })
    expect(culprit(third, 'E2', [commit, abandon], chain())).toBe(6)
    expect(culprit(third, 'E2', [abandon, commit], chain())).toBe(6)
    expect(culprit(third, 'E2', [commit, joins()], chain())).toBe(6)
    // Not of the same member; of a lower view, which came first.
    expect(culprit(third, 'E2', [commit, later.join(7)], chain())).toBeUndefined()
    expect(culprit(third, 'E2', [commit, new CraftedView(third, 0).join(6)], chain())).toBeUndefined()
    expect(culprit(third, 'E2', [view.sign('commit', 7, bytesOf('o')), abandon], chain())).toBeUndefined()
  })
})

describe('E5 in a view that must propose again', () => {
  /** A run whose first view ends with a CERT1 and no CERT2: every COMMIT of it is lost. */
  const interrupted = () => {
    const seen = new Map<string, SignedMessage>()
    const results = simulate({
      committee: third,
      seed: 5,
      oldShares: second.shares,
      lose: ({ header }) => header.name === 'commit' && header.view === 0,
      overhear: (message) => seen.set(Buffer.from(message.bytes).toString('hex'), message),
    })
    for (const result of results.values()) expect(result.faults).toEqual([])
    const named = (name: string, at: number) =>
      [...seen.values()].filter(({ header }) => header.name === name && header.view === at)
    return { named, results }
  }

  it('row 18: a PROPOSE that ignores the CERT1 in its JOINSET, or carries it from nowhere', () => {
    const { named } = interrupted()
    const [joinset] = named('joinset', 1)
    const [propose] = named('propose', 1)
    const [fresh] = named('propose', 0)
    if (joinset === undefined || propose === undefined || fresh === undefined) throw new Error('two views with leaders')
    const view = new CraftedView(third, 1)
    expect(view.session(joinset).carried).toBeDefined()
    expect(culprit(third, 'E5', [propose, joinset], chain())).toBeUndefined()
    // The leader of view 1 proposes an outcome of its own: the old one under a new view number.
    const outcome = Uint8Array.from(fresh.payload.subarray(5))
    outcome.set([0, 0, 0, 1], 33)
    const ignoring = view.sign('propose', view.leader, encodePropose({ mode: 'fresh', outcome }))
    expect(culprit(third, 'E5', [ignoring, joinset], chain())).toBe(view.leader)
    // By itself it says nothing about a CERT1, and a JOINSET of another view neither.
    expect(culprit(third, 'E5', [ignoring], chain())).toBeUndefined()
    const [earlier] = named('joinset', 0)
    if (earlier === undefined) throw new Error('view 0 has a JOINSET')
    expect(culprit(third, 'E5', [ignoring, earlier], chain())).toBeUndefined()
  })

  it('a JOINSET with a bad CERT1 inside one of its JOINs', () => {
    const { named } = interrupted()
    const view = new CraftedView(third, 1)
    const joins = named('join', 1)
    const [carrying] = joins
    if (carrying === undefined) throw new Error('view 1 has JOINs')
    expect(culprit(third, 'E5', [view.joinset(joins)], chain())).toBeUndefined()
    const spoiled = Uint8Array.from(carrying.payload)
    spoiled[spoiled.length - 1] = (spoiled[spoiled.length - 1] ?? 0) ^ 1
    const bad = view.sign('join', carrying.header.from, spoiled)
    const joinset = view.joinset(joins.map((join) => (join === carrying ? bad : join)))
    expect(culprit(third, 'E5', [joinset], chain())).toBe(view.leader)
    // Whoever does not lead the view proves nothing with such a message.
    const other = joins.find(({ header }) => header.from !== view.leader)
    if (other === undefined) throw new Error('not everybody leads')
    const posing = view.sign('joinset', other.header.from, joinset.payload)
    expect(culprit(third, 'E5', [posing], chain())).toBeUndefined()
  })
})

describe('evidence as bytes', () => {
  it('row 24: bytes that are cut, longer or changed prove nothing, or the same, and never throw', () => {
    const bytes = encoded(third, 'E1', wrongDealing(third, second, 7))
    expect(verifyEvidence(curve, verify, bytes, chain())?.culprit).toBe(7)
    for (let at = 0; at < bytes.length; at += 97) {
      const changed = Uint8Array.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ 0x41
      expect([undefined, 7]).toContain(verifyEvidence(curve, verify, changed, chain())?.culprit)
      expect(verifyEvidence(curve, verify, bytes.subarray(0, at), chain())).toBeUndefined()
    }
    expect(verifyEvidence(curve, verify, Uint8Array.of(...bytes, 0), chain())).toBeUndefined()
    for (let code = 0; code < 256; code++) {
      const recoded = Uint8Array.from(bytes)
      recoded[1] = code
      expect(code === 1 ? [7] : [undefined]).toContain(verifyEvidence(curve, verify, recoded, chain())?.culprit)
    }
    expect(decodeSigned(wrongDealing(third, second, 7)[0]?.bytes ?? new Uint8Array()).header.name).toBe('joinset')
  })
})
