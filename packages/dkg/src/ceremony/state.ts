import type { Secret } from '../primitives/secret.ts'
import type { CeremonyId, ParticipantIndex, SharingId } from '../primitives/types.ts'
import type { Cert1 } from './cert1.ts'
import type { CheckedKey } from './check-certificate.ts'
import type { CeremonyParams, TimerName } from './engine-types.ts'
import type { Fault } from './evidence.ts'
import { ForkMap } from './fork.ts'
import { leaderOf, type Session } from './join.ts'
import type { DealPayload } from './messages.ts'
import type { Outcome } from './outcome.ts'
import { type Parties, partiesOf } from './parties.ts'
import type { DealingSecrets, ReceiverSecrets } from './seeds.ts'
import type { SignedMessage } from './signed-message.ts'

/** A verified share waiting for its certificate (protocol 8: PREPARED). */
export interface Prepared {
  readonly outcome: SharingId
  readonly share: Secret
}

/** Where this node stands in its view. */
export type Phase =
  | { readonly name: 'seeding' }
  /** JOIN is sent; a dealer holds its dealing until its DEAL is durable. */
  | { readonly name: 'joining'; readonly dealing?: DealingSecrets }
  /** Waits for the DEALs of the session. */
  | { readonly name: 'dealing'; readonly session: Session }
  | { readonly name: 'vouching'; readonly session: Session }
  /**
   * The JOINSET is without this receiver: it gets no share in this session, but witnesses the outcome. It keeps its receiver key: where
   * the leader signed two JOINSETs, the other one may be certified and its dealings addressed to that key (protocol R5).
   */
  | { readonly name: 'observing'; readonly session: Session }
  /** A dealer that is no receiver is done: its dealing is out, or none is needed. */
  | { readonly name: 'dealt'; readonly session: Session }
  /** A JOIN carried a CERT1: the outcome of an earlier view is proposed again. */
  | { readonly name: 'reproposing'; readonly session: Session }
  | { readonly name: 'voting'; readonly session: Session; readonly outcome: SharingId }
  | { readonly name: 'committing'; readonly session: Session; readonly outcome: SharingId }
  /** Abandoned or superseded here, or nothing to contribute: it signs nothing more, but a certificate still counts. */
  | { readonly name: 'left' }
  /** Certified, but this node still has to pull the dealings of QUAL. */
  | { readonly name: 'fetching'; readonly key: CheckedKey; readonly outcome: Outcome }
  | { readonly name: 'complete'; readonly key: CheckedKey; readonly share?: Secret }
  | { readonly name: 'archived'; readonly key: CheckedKey }
  /** Q ABANDONs: nothing of it can be certified any more, and nothing of it is kept. */
  | { readonly name: 'abandoned' }

/** What became of the DEAL of one dealer at this node. */
export type Verdict =
  | {
      readonly kind: 'good'
      readonly message: SignedMessage
      readonly deal: DealPayload
      readonly dealHash: Uint8Array
      /** f_i(me), absent at an observer. */
      readonly share?: Secret
    }
  | { readonly kind: 'bad' }

/** Signed messages of one view whose signatures hold, first one wins. */
export interface Inbox {
  readonly joins: ForkMap<ParticipantIndex, SignedMessage>
  joinset: SignedMessage | undefined
  /** Different DEALs of one dealer, by hash. */
  readonly deals: ForkMap<ParticipantIndex, ReadonlyMap<string, SignedMessage>>
  readonly vouches: ForkMap<ParticipantIndex, SignedMessage>
  /** By complainer, then by dealer. */
  readonly complaints: ForkMap<ParticipantIndex, ReadonlyMap<ParticipantIndex, SignedMessage>>
  propose: SignedMessage | undefined
  readonly votes: ForkMap<ParticipantIndex, SignedMessage>
  readonly commits: ForkMap<ParticipantIndex, SignedMessage>
}

/** One view at this node, under way or left: what agreement is judged by. */
export interface ViewRecord {
  readonly view: number
  readonly leader: ParticipantIndex
  readonly session?: Session
  readonly inbox: Inbox
}

/** One DEAL we know of and do not have, and who can give it. */
export interface Wanted {
  readonly dealer: ParticipantIndex
  readonly dealHash: Uint8Array
  readonly holders: ReadonlySet<ParticipantIndex>
}

/** Whether this node still acts in the ceremony (protocol 3). */
export type Standing = 'active' | 'abandoned' | 'superseded'

/** Opaque outside the engine. A step works on its own copy. */
export interface CeremonyState {
  readonly params: CeremonyParams
  readonly parties: Parties
  readonly ceremony: CeremonyId
  /** Durable, never falls. */
  view: number
  leader: ParticipantIndex
  phase: Phase
  standing: Standing
  /** Peers that answered STATUS since this life of the node began: until there are Q - 1, nothing new is signed (protocol 5). */
  readonly answered: Set<ParticipantIndex>
  /** The sent-slot table: `view/name`, for COMPLAIN with the dealer -> exact bytes (protocol 5). */
  readonly sent: ForkMap<string, SignedMessage>
  inbox: Inbox
  readonly verdicts: ForkMap<ParticipantIndex, Verdict>
  /** Views that were left, with what can still certify their outcome. */
  readonly past: ForkMap<number, ViewRecord>
  /** Messages of one view above ours per member: of the highest that it joined. */
  readonly ahead: ForkMap<ParticipantIndex, readonly SignedMessage[]>
  /** ek of every view that this node joined: each may be addressed by the outcome that is certified in the end. */
  readonly receiverKeys: ForkMap<number, ReceiverSecrets>
  /** Shares behind a sent VOTE with holds = 1, by outcome: time alone never erases them (protocol R5). */
  readonly prepared: ForkMap<string, Prepared>
  /** The CERT1 of the highest view this node knows. */
  cert1: Cert1 | undefined
  readonly abandons: ForkMap<ParticipantIndex, SignedMessage>
  /** Of the highest view, per member: a COMMIT and a later JOIN that hides it contradict each other (protocol 7, E2). */
  readonly lastJoins: ForkMap<ParticipantIndex, SignedMessage>
  readonly lastCommits: ForkMap<ParticipantIndex, SignedMessage>
  readonly faults: ForkMap<ParticipantIndex, Fault>
  /** Both messages of every E2: the inbox keeps only the first, and a restart must not forget who is faulty. */
  readonly equivocations: ForkMap<ParticipantIndex, readonly SignedMessage[]>
  readonly wanted: ForkMap<string, Wanted>
  /** What needs no second look in this view: complaints as `complainer/dealer`, a JOINSET that contradicts itself. */
  readonly judged: Set<string>
  readonly running: Set<TimerName>
  readonly fired: Set<TimerName>
  retransmits: number
  /** The operator gave up before this node could sign that. */
  wantsToAbandon: boolean
  /** The last progress told, so that it is told once. */
  progress: string
}

export function emptyInbox(): Inbox {
  return {
    joins: new ForkMap(),
    joinset: undefined,
    deals: new ForkMap(),
    vouches: new ForkMap(),
    complaints: new ForkMap(),
    propose: undefined,
    votes: new ForkMap(),
    commits: new ForkMap(),
  }
}

/** @throws KmsError `bad-parameters` where the previous sharing does not belong to X */
export function createState(params: CeremonyParams): CeremonyState {
  const parties = partiesOf(params.spec, params.previous)
  const { ceremony } = parties
  return {
    params,
    parties,
    ceremony,
    view: 0,
    leader: leaderOf(parties.receivers, ceremony, 0),
    phase: { name: 'seeding' },
    standing: 'active',
    answered: new Set(),
    sent: new ForkMap(),
    inbox: emptyInbox(),
    verdicts: new ForkMap(),
    past: new ForkMap(),
    ahead: new ForkMap(),
    receiverKeys: new ForkMap(),
    prepared: new ForkMap(),
    cert1: undefined,
    abandons: new ForkMap(),
    lastJoins: new ForkMap(),
    lastCommits: new ForkMap(),
    faults: new ForkMap(),
    equivocations: new ForkMap(),
    wanted: new ForkMap(),
    judged: new Set(),
    running: new Set(),
    fired: new Set(),
    retransmits: 0,
    wantsToAbandon: false,
    progress: '',
  }
}

export const copyInbox = (inbox: Inbox): Inbox => ({
  joins: inbox.joins.fork(),
  joinset: inbox.joinset,
  deals: inbox.deals.fork(),
  vouches: inbox.vouches.fork(),
  complaints: inbox.complaints.fork(),
  propose: inbox.propose,
  votes: inbox.votes.fork(),
  commits: inbox.commits.fork(),
})

/**
 * A copy that a step may change; its maps are copied when they are first written to. What they hold is immutable and shared, but for the
 * inboxes of past views, which are copied when they change.
 */
export function copyState(state: CeremonyState): CeremonyState {
  return {
    ...state,
    answered: new Set(state.answered),
    sent: state.sent.fork(),
    inbox: copyInbox(state.inbox),
    verdicts: state.verdicts.fork(),
    past: state.past.fork(),
    ahead: state.ahead.fork(),
    receiverKeys: state.receiverKeys.fork(),
    prepared: state.prepared.fork(),
    abandons: state.abandons.fork(),
    lastJoins: state.lastJoins.fork(),
    lastCommits: state.lastCommits.fork(),
    faults: state.faults.fork(),
    equivocations: state.equivocations.fork(),
    wanted: state.wanted.fork(),
    judged: new Set(state.judged),
    running: new Set(state.running),
    fired: new Set(state.fired),
  }
}
