import {
  abandonHere,
  approveInSlot,
  authorizeInSlot,
  type AuthorizationStrength,
  beginInSlot,
  bytesKey,
  type CeremonySpec,
  ceremonyId,
  certifyInSlot,
  type Curve,
  decodeCertificate,
  decideAgainst,
  decodeSlot,
  decodeSpec,
  emptySlot,
  encodeSlot,
  encodeSpec,
  equalBytes,
  mayEraseOn,
  type OwnWord,
  type ParticipantIndex,
  Secret,
  type SharingId,
  slotEntry,
  slotId,
  type SlotRefusal,
  type SlotState,
  type SlotStep,
  takeOverInSlot,
  type VerifiedKey,
} from '@tkms/dkg'
import type { RecordStore } from '../ports.ts'
import { createTurns } from '../turns.ts'
import { ceremonyError } from './errors.ts'
import { decodeTold, encodeTold, MAX_DOUBTFUL_PER_PEER, type ToldSpec } from './told-record.ts'

/**
 * What this node agreed to, signed and gave up, durable: the slot rules of protocol 3 (`@tkms/dkg`, slot.ts) and every X that this node
 * has to do with. Every method is durable when it resolves and throws KmsError `slot-<refusal>` where the rules say no.
 */
export interface SlotBook {
  /** Every X approved or abandoned in an earlier life of this node, decided or not, and what other members told of one that was forgotten. */
  readonly earlier: readonly CeremonySpec[]
  /** As of the last durable write. */
  state(spec: CeremonySpec): SlotState
  approve(spec: CeremonySpec, approval: 'plain' | 'degraded'): Promise<void>
  /** @returns this node's AUTH over X, 64 bytes, the same for ever */
  authorize(spec: CeremonySpec, own: OwnWord): Promise<Uint8Array>
  begin(spec: CeremonySpec, strength: AuthorizationStrength | undefined): Promise<void>
  abandon(spec: CeremonySpec): Promise<void>
  decideAgainst(spec: CeremonySpec): Promise<void>
  /**
   * What another member tells after a restore, in one write.
   * @returns false where it tells of more doubtful X than one peer may (MAX_DOUBTFUL_PER_PEER): the others are left out
   */
  takeOver(from: ParticipantIndex, told: readonly ToldSpec[]): Promise<boolean>
  certify(spec: CeremonySpec, sharingId: SharingId): Promise<void>
}

const SLOT = '.slot'
const SPEC = '.x'
const TOLD = '.told'

const EXPLAINED: Readonly<Record<SlotRefusal, string>> = {
  'other-approved':
    'another ceremony was approved here for this key, epoch and attempt, or may have been before a backup was restored: abandon that one first',
  'attempt-open':
    'another attempt is still open, or may be since a backup was restored: it must be abandoned by a quorum first, or take the next generation',
  superseded: 'this node gave this attempt up for a later one',
  abandoned: 'this ceremony was abandoned',
  certified: 'this key has its certificate for this epoch already',
  'not-approved': 'this ceremony is not approved here',
  'not-authorized': 'too few members of the old committee have authorized it',
  'no-old-share': 'this node does not hold the old share, so it cannot give the earlier attempt up',
}

/** Reads all slots. @throws KmsError `bad-encoding`, errors of the store */
export async function openSlotBook(store: RecordStore): Promise<SlotBook> {
  const slots = new Map<string, SlotState>()
  const earlier: CeremonySpec[] = []
  const toldBy = new Map<string, readonly ToldSpec[]>()
  const inTurn = createTurns()

  const put = async (id: string, bytes: Uint8Array): Promise<void> => {
    const record = new Secret(bytes)
    try {
      await store.put('approval', id, record)
    } finally {
      record.destroy()
    }
  }

  const state = (spec: CeremonySpec): SlotState => slots.get(bytesKey(slotId(spec))) ?? emptySlot

  /** The promise first, then X itself: after a crash in between the operator says the same once more. */
  const change = (spec: CeremonySpec, rule: (state: SlotState) => SlotStep): Promise<void> =>
    inTurn(async () => {
      const slot = bytesKey(slotId(spec))
      const known = state(spec)
      const step = rule(known)
      if ('refusal' in step) throw refused(step)
      if (step.state === known) return
      await put(`${slot}${SLOT}`, encodeSlot(step.state))
      slots.set(slot, step.state)
    })

  const keep = (spec: CeremonySpec): Promise<void> => put(`${bytesKey(ceremonyId(spec))}${SPEC}`, encodeSpec(spec))

  const read = async <T>(id: string, decode: (bytes: Uint8Array) => T): Promise<T | undefined> => {
    const record = await store.get('approval', id)
    try {
      return record?.use(decode)
    } finally {
      record?.destroy()
    }
  }

  for (const id of await store.list('approval')) {
    const slot = id.endsWith(SLOT) ? await read(id, decodeSlot) : undefined
    if (slot !== undefined) slots.set(id.slice(0, -SLOT.length), slot)
    const spec = id.endsWith(SPEC) ? await read(id, decodeSpec) : undefined
    if (spec !== undefined) earlier.push(spec)
    const told = id.endsWith(TOLD) ? await read(id, decodeTold) : undefined
    if (told !== undefined) toldBy.set(id, told)
  }

  /** X that is known here as it is told changes nothing. */
  const isNews = ({ spec, authorization }: ToldSpec): boolean => {
    const step = takeOverInSlot(state(spec), spec, authorization)
    return 'state' in step && step.state !== state(spec)
  }

  const applyTold = ({ spec, authorization }: ToldSpec): void => {
    const step = takeOverInSlot(state(spec), spec, authorization)
    if ('refusal' in step) throw refused(step)
    slots.set(bytesKey(slotId(spec)), step.state)
    const ceremony = ceremonyId(spec)
    if (!earlier.some((known) => equalBytes(ceremonyId(known), ceremony))) earlier.push(spec)
  }

  for (const told of toldBy.values()) told.forEach(applyTold)

  return {
    earlier,
    state,
    approve: async (spec, approval) => {
      await change(spec, (slot) => approveInSlot(slot, spec, approval))
      await keep(spec)
    },
    authorize: async (spec, own) => {
      await change(spec, (slot) => authorizeInSlot(slot, spec, own))
      const made = slotEntry(state(spec), ceremonyId(spec))
      if (made?.authorization === undefined) throw ceremonyError('slot-not-approved', EXPLAINED['not-approved'])
      return made.authorization
    },
    begin: (spec, strength) => change(spec, (slot) => beginInSlot(slot, spec, strength)),
    abandon: async (spec) => {
      await change(spec, (slot) => abandonHere(slot, spec))
      await keep(spec)
    },
    takeOver: (from, told) =>
      inTurn(async () => {
        const id = `${from}${TOLD}`
        const before = toldBy.get(id) ?? []
        const news = [...new Map(told.filter(isNews).map((one) => [bytesKey(ceremonyId(one.spec)), one])).values()]
        const isSigned = ({ authorization }: ToldSpec): boolean => authorization !== undefined
        const doubtful = news.filter((one) => !isSigned(one))
        const room = MAX_DOUBTFUL_PER_PEER - before.filter((one) => !isSigned(one)).length
        const taken = [...news.filter(isSigned), ...doubtful.slice(0, room)]
        if (taken.length > 0) {
          await put(id, encodeTold([...before, ...taken]))
          toldBy.set(id, [...before, ...taken])
          taken.forEach(applyTold)
        }
        return doubtful.length <= room
      }),
    decideAgainst: (spec) => change(spec, (slot) => decideAgainst(slot, spec)),
    certify: (spec, sharingId) => change(spec, (slot) => certifyInSlot(slot, spec, sharingId)),
  }
}

/** Whether earlier shares may be erased on the word of a certificate that came by itself (protocol 8, rule 3). */
export function mayEraseOnWord(slots: SlotBook, curve: Curve, { certificate, authorization }: VerifiedKey): boolean {
  const { spec } = decodeCertificate(curve, certificate)
  return mayEraseOn(slots.state(spec), spec, authorization)
}

function refused(step: Extract<SlotStep, { readonly refusal: SlotRefusal }>): Error {
  const data = step.ceremony === undefined ? {} : { ceremony: `0x${bytesKey(step.ceremony)}` }
  return ceremonyError(`slot-${step.refusal}`, EXPLAINED[step.refusal], { data })
}
