import type { Secret } from '../primitives/secret.ts'
import type { CeremonyId, ParticipantIndex, SharingId } from '../primitives/types.ts'
import type { VerifiedKey } from './verify-certificate.ts'
import { ceremonyId } from './config.ts'
import type { CeremonyParams, TimerName } from './engine-types.ts'
import type { Fault } from './evidence.ts'
import type { Session } from './join.ts'
import { leaderOf } from './join.ts'
import type { DealPayload } from './messages.ts'
import type { Outcome } from './outcome.ts'
import type { DealingSecrets, ReceiverSecrets } from './seeds.ts'
import type { SignedMessage } from './signed-message.ts'

/** A verified share waiting for its certificate (protocol 8: PREPARED). */
export interface Prepared {
  readonly outcome: SharingId
  readonly share: Secret
}

/** Where this node stands in its view. Each phase holds exactly the secrets it may still need. */
export type Phase =
  | { readonly name: 'seeding' }
  | { readonly name: 'joining'; readonly receiver: ReceiverSecrets; readonly dealing: DealingSecrets }
  | { readonly name: 'dealing'; readonly receiver: ReceiverSecrets; readonly session: Session }
  | { readonly name: 'vouching'; readonly receiver: ReceiverSecrets; readonly session: Session }
  /**
   * The JOINSET is without this node: it gets no share in this session, but witnesses the outcome. It keeps its receiver key: where
   * the leader signed two JOINSETs, the other one may be certified and its dealings addressed to that key (protocol R5).
   */
  | { readonly name: 'observing'; readonly receiver: ReceiverSecrets; readonly session: Session }
  | {
      readonly name: 'voting'
      readonly receiver: ReceiverSecrets
      readonly session: Session
      readonly prepared: Prepared
    }
  | {
      readonly name: 'committing'
      readonly receiver: ReceiverSecrets
      readonly session: Session
      readonly outcome: SharingId
      readonly prepared?: Prepared
    }
  /** The view timer fired: no VOTE or COMMIT any more, but a certificate that surfaces later still counts. */
  | { readonly name: 'left'; readonly receiver?: ReceiverSecrets; readonly prepared?: Prepared }
  /** Certified, but this node still has to pull the dealings of QUAL. */
  | {
      readonly name: 'fetching'
      readonly receiver: ReceiverSecrets
      readonly key: VerifiedKey
      readonly outcome: Outcome
    }
  | { readonly name: 'complete'; readonly key: VerifiedKey; readonly share?: Secret }
  | { readonly name: 'archived'; readonly key: VerifiedKey }

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

/** Signed messages of the current view whose signatures hold, first one wins. */
export interface Inbox {
  readonly joins: Map<ParticipantIndex, SignedMessage>
  joinset: SignedMessage | undefined
  /** Different DEALs of one dealer, by hash. */
  readonly deals: Map<ParticipantIndex, Map<string, SignedMessage>>
  readonly vouches: Map<ParticipantIndex, SignedMessage>
  /** By complainer, then by dealer. */
  readonly complaints: Map<ParticipantIndex, Map<ParticipantIndex, SignedMessage>>
  propose: SignedMessage | undefined
  readonly votes: Map<ParticipantIndex, SignedMessage>
  readonly commits: Map<ParticipantIndex, SignedMessage>
}

/** One DEAL we know of and do not have, and who can give it. */
export interface Wanted {
  readonly dealer: ParticipantIndex
  readonly dealHash: Uint8Array
  readonly holders: ReadonlySet<ParticipantIndex>
}

/** Opaque outside the engine. A step works on its own copy. */
export interface CeremonyState {
  readonly params: CeremonyParams
  readonly ceremony: CeremonyId
  readonly view: number
  readonly leader: ParticipantIndex
  phase: Phase
  /** The sent-slot table: message name, for COMPLAIN with the dealer -> exact bytes (protocol 5). */
  readonly sent: Map<string, SignedMessage>
  readonly inbox: Inbox
  readonly verdicts: Map<ParticipantIndex, Verdict>
  readonly faults: Map<ParticipantIndex, Fault>
  /** Both messages of every E2: the inbox keeps only the first, and a restart must not forget who is faulty. */
  readonly equivocations: Map<ParticipantIndex, readonly SignedMessage[]>
  readonly wanted: Map<string, Wanted>
  /** What needs no second look: complaints as `complainer/dealer`, a JOINSET that contradicts itself. */
  readonly judged: Set<string>
  readonly running: Set<TimerName>
  readonly fired: Set<TimerName>
  retransmits: number
  /** The last progress told, so that it is told once. */
  progress: string
}

export function createState(params: CeremonyParams): CeremonyState {
  const ceremony = ceremonyId(params.spec)
  const view = 0
  return {
    params,
    ceremony,
    view,
    leader: leaderOf(params.spec.newConfig, ceremony, view),
    phase: { name: 'seeding' },
    sent: new Map(),
    inbox: {
      joins: new Map(),
      joinset: undefined,
      deals: new Map(),
      vouches: new Map(),
      complaints: new Map(),
      propose: undefined,
      votes: new Map(),
      commits: new Map(),
    },
    verdicts: new Map(),
    faults: new Map(),
    equivocations: new Map(),
    wanted: new Map(),
    judged: new Set(),
    running: new Set(),
    fired: new Set(),
    retransmits: 0,
    progress: '',
  }
}

const copyNested = <K, L, V>(map: ReadonlyMap<K, ReadonlyMap<L, V>>): Map<K, Map<L, V>> =>
  new Map([...map].map(([key, inner]) => [key, new Map(inner)]))

/** A copy that a step may change; what the maps hold is immutable and shared. */
export function copyState(state: CeremonyState): CeremonyState {
  const { inbox } = state
  return {
    ...state,
    sent: new Map(state.sent),
    inbox: {
      joins: new Map(inbox.joins),
      joinset: inbox.joinset,
      deals: copyNested(inbox.deals),
      vouches: new Map(inbox.vouches),
      complaints: copyNested(inbox.complaints),
      propose: inbox.propose,
      votes: new Map(inbox.votes),
      commits: new Map(inbox.commits),
    },
    verdicts: new Map(state.verdicts),
    faults: new Map(state.faults),
    equivocations: new Map(state.equivocations),
    wanted: new Map(state.wanted),
    judged: new Set(state.judged),
    running: new Set(state.running),
    fired: new Set(state.fired),
  }
}
