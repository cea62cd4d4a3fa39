import {
  attempt,
  type CeremonySpec,
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
import type { Plausibility } from './plausible-promise.ts'
import type { SlotBook } from './slot-book.ts'
import { isMemberOf, MAX_PROMISES } from './tell-promises.ts'
import type { ToldSpec } from './told-record.ts'

const KIND = 'approval'
const ID = 'set-back'
const VERSION = 1
/** Frames, X and orders taken from one peer each time it is asked. */
const MAX_TOLD = 4 * MAX_PROMISES
/** What one peer may have waiting here: a whole answer about the largest committees has 1.3 MB. */
const MAX_PENDING_BYTES = 2 * 1024 * 1024

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
  /** Resolves when what it tells is durable. What was not asked for is dropped at once. @returns true when this peer has told now */
  take(from: ParticipantIndex, promises: Promises): Promise<boolean>
}

export interface SetBackParams {
  readonly self: ParticipantIndex
  readonly clusterId: ClusterId
  readonly store: RecordStore
  readonly slots: Pick<SlotBook, 'takeOver'>
  readonly network: Pick<CeremonyNetwork, 'send'>
  /** In which this node may have promised anything. */
  readonly committees: () => readonly CommitteeConfig[]
  /** Whether this node may have agreed to it at all. */
  readonly plausibility: (spec: CeremonySpec) => Plausibility
  /** A `destroy` message with this node's own signature on an order; durable when it resolves. */
  readonly takeOrder: (from: ParticipantIndex, message: Uint8Array) => Promise<void>
  readonly log: CeremonyLog
}

interface Answer {
  /** Frames, X and orders since it was asked last. */
  items: number
  pendingBytes: number
  /** Nothing since the last end of an answer was dropped or could not be kept. */
  isWhole: boolean
}

const bytesOf = ({ specs, orders }: Promises): number =>
  [...specs.map(({ spec }) => spec), ...orders].reduce((sum, { length }) => sum + length, 256)

/** @throws KmsError `bad-encoding`, errors of the store */
export async function openSetBack(params: SetBackParams): Promise<SetBack> {
  const { self, slots, network, store, log } = params
  let isStanding = await isMarked(store)
  const asked = new Map<ParticipantIndex, Answer>()
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

  const read = ({ spec: bytes, authorization }: Promises['specs'][number]): readonly ToldSpec[] => {
    const spec = attempt(() => decodeSpec(bytes))
    if (spec === undefined || !equalBytes(spec.clusterId, params.clusterId) || !isMemberOf(spec, self)) return []
    const entry = authorization && { index: self, signature: authorization }
    const isOwn = entry !== undefined && verifyMemberAuthorization(verifyEd25519, spec, entry)
    return [isOwn ? { spec, authorization } : { spec }]
  }

  /** @returns false where something must be told again */
  const keep = async (from: ParticipantIndex, { specs, orders }: Promises): Promise<boolean> => {
    const all = specs.flatMap(read)
    const judged = all.map((one) => ({
      one,
      word: one.authorization === undefined ? params.plausibility(one.spec) : 'plausible',
    }))
    const believed = judged.flatMap(({ one, word }) => (word === 'plausible' ? [one] : []))
    const isAllTaken = await slots.takeOver(from, believed)
    for (const order of orders) await params.takeOrder(from, order)
    return isAllTaken && !judged.some(({ word }) => word === 'early')
  }

  const take = async (from: ParticipantIndex, answer: Answer, promises: Promises): Promise<boolean> => {
    if (!isStanding || told.has(from)) return false
    let isKept = false
    try {
      isKept = await keep(from, promises)
    } finally {
      answer.isWhole &&= isKept
    }
    if (!promises.last) return false
    const { isWhole } = answer
    answer.isWhole = true
    if (!isWhole) {
      log.warn({ from }, 'promises-incomplete')
      return false
    }
    told.add(from)
    if (awaited(params.committees()).length > 0) return true
    await store.erase(KIND, ID)
    isStanding = false
    log.info({ told: [...told] }, 'set-back-over')
    return true
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
      asked.set(peer, Object.assign(asked.get(peer) ?? { pendingBytes: 0, isWhole: true }, { items: 0 }))
      network.send(peer, { type: 'promisesRequest' })
    },
    take: async (from, promises) => {
      const answer = asked.get(from)
      if (!isStanding || answer === undefined || told.has(from)) return false
      const items = 1 + promises.specs.length + promises.orders.length
      const bytes = bytesOf(promises)
      if (answer.items + items > MAX_TOLD || answer.pendingBytes + bytes > MAX_PENDING_BYTES) {
        answer.isWhole = false
        return false
      }
      answer.items += items
      answer.pendingBytes += bytes
      return inTurn(() => take(from, answer, promises)).finally(() => {
        answer.pendingBytes -= bytes
      })
    },
  }
}

/**
 * 2f + 1. What was forgotten does harm only together with the Q - 1 other members that make a quorum of it. Of the n - 1 others, 2f + 1
 * that told and those Q - 1 share at least 2f + 1 + Q - 1 - (n - 1) = f + 1, so an honest one: it agreed to X, and tells of it even if
 * it never saw this node's signature. An imported key has nobody else to ask.
 */
const answersWanted = (committee: CommitteeConfig, others: number): number =>
  Math.min(2 * (committee.n - quorum(committee)) + 1, others)
