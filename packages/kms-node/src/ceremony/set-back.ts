import {
  attempt,
  type ClusterId,
  type CommitteeConfig,
  decodeAll,
  decodeSpec,
  equalBytes,
  type ParticipantIndex,
  quorum,
  Secret,
  u8,
  verifyEd25519,
  verifyMemberAuthorization,
} from '@tkms/dkg'
import type { CeremonyFrame } from '../net/ceremony-frame.ts'
import type { CeremonyNetwork } from '../net/ceremony-protocol.ts'
import type { RecordStore } from '../ports.ts'
import { createTurns } from '../turns.ts'
import type { CeremonyLog } from './ports.ts'
import type { SlotBook } from './slot-book.ts'
import { isMemberOf, MAX_PROMISES } from './tell-promises.ts'

const KIND = 'approval'
const ID = 'set-back'
const VERSION = 1
/** X taken from one peer, in all its answers: one that connects again begins again. */
const MAX_TOLD = 4 * MAX_PROMISES

/** The mark that a restore leaves: this store may have forgotten promises. Durable when it resolves. */
export async function markSetBack(store: Pick<RecordStore, 'put'>): Promise<void> {
  const record = new Secret(u8(VERSION))
  try {
    await store.put(KIND, ID, record)
  } finally {
    record.destroy()
  }
}

/** @throws KmsError `bad-encoding` */
async function isMarked(store: Pick<RecordStore, 'get'>): Promise<boolean> {
  const record = await store.get(KIND, ID)
  try {
    return record?.use((bytes) => decodeAll(bytes, 'set-back', (reader) => reader.u8('version'))) !== undefined
  } finally {
    record?.destroy()
  }
}

export type Promises = Extract<CeremonyFrame, { readonly type: 'promises' }>

/**
 * A node that was restored from a backup signs nothing that a promise made since could contradict, before other members have told what
 * they know of it (docs/protocol.md, "After a restore").
 */
export interface SetBack {
  readonly isStanding: boolean
  /** Who is still waited for before this node signs as a member of these committees; nobody where enough have told. */
  readonly awaited: (committees: readonly CommitteeConfig[]) => readonly ParticipantIndex[]
  /** Who is still waited for before nothing is asked any more. */
  readonly missing: readonly ParticipantIndex[]
  /** What this peer knows of the keys is known here: it is asked what it knows of this node's promises. */
  readonly ask: (peer: ParticipantIndex) => void
  /** Resolves when what it tells is durable. What was not asked for is dropped. */
  take(from: ParticipantIndex, promises: Promises): Promise<void>
}

export interface SetBackParams {
  readonly self: ParticipantIndex
  readonly clusterId: ClusterId
  readonly store: RecordStore
  readonly slots: Pick<SlotBook, 'takeOver'>
  readonly network: Pick<CeremonyNetwork, 'send'>
  /** In which this node may have promised anything. */
  readonly committees: () => readonly CommitteeConfig[]
  /** A `destroy` message with this node's own signature on an order; durable when it resolves. */
  readonly takeOrder: (from: ParticipantIndex, message: Uint8Array) => Promise<void>
  readonly log: CeremonyLog
}

/** @throws KmsError `bad-encoding`, errors of the store */
export async function openSetBack(params: SetBackParams): Promise<SetBack> {
  const { self, slots, network, store, log } = params
  let isStanding = await isMarked(store)
  /** X that each peer asked has told so far. */
  const asked = new Map<ParticipantIndex, number>()
  const told = new Set<ParticipantIndex>()
  const inTurn = createTurns()
  if (isStanding) log.warn({}, 'set-back-by-restore')

  const awaitedIn = (committee: CommitteeConfig): readonly ParticipantIndex[] => {
    const others = committee.members.map(({ index }) => index).filter((index) => index !== self)
    const silent = others.filter((index) => !told.has(index))
    return others.length - silent.length >= answersWanted(committee, others.length) ? [] : silent
  }
  const awaited = (committees: readonly CommitteeConfig[]): readonly ParticipantIndex[] =>
    isStanding ? [...new Set(committees.flatMap(awaitedIn))].toSorted((left, right) => left - right) : []

  const takeSpec = async ({ spec: bytes, authorization }: Promises['specs'][number]): Promise<void> => {
    const spec = attempt(() => decodeSpec(bytes))
    if (spec === undefined || !equalBytes(spec.clusterId, params.clusterId) || !isMemberOf(spec, self)) return
    const entry = authorization && { index: self, signature: authorization }
    const isOwn = entry !== undefined && verifyMemberAuthorization(verifyEd25519, spec, entry)
    await slots.takeOver(spec, isOwn ? entry.signature : undefined)
  }

  const take = async (from: ParticipantIndex, { specs, orders, last }: Promises): Promise<void> => {
    const before = asked.get(from)
    if (!isStanding || before === undefined || told.has(from) || before + specs.length > MAX_TOLD) return
    asked.set(from, before + specs.length)
    for (const spec of specs) await takeSpec(spec)
    for (const order of orders) await params.takeOrder(from, order)
    if (!last) return
    told.add(from)
    if (awaited(params.committees()).length > 0) return
    await store.erase(KIND, ID)
    isStanding = false
    log.info({ told: [...told] }, 'set-back-over')
  }

  return {
    get isStanding() {
      return isStanding
    },
    get missing() {
      return awaited(params.committees())
    },
    awaited,
    ask: (peer) => {
      if (!isStanding || told.has(peer)) return
      asked.set(peer, asked.get(peer) ?? 0)
      network.send(peer, { type: 'promisesRequest' })
    },
    take: (from, promises) => inTurn(() => take(from, promises)),
  }
}

/**
 * 2f + 1. What was forgotten does harm only together with the Q - 1 other members that make a quorum of it. Of the n - 1 others, 2f + 1
 * that told and those Q - 1 share at least 2f + 1 + Q - 1 - (n - 1) = f + 1, so an honest one: it agreed to X, and tells of it even if
 * it never saw this node's signature. An imported key has nobody else to ask.
 */
const answersWanted = (committee: CommitteeConfig, others: number): number =>
  Math.min(2 * (committee.n - quorum(committee)) + 1, others)
