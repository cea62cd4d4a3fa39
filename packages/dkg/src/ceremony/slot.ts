import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, equalBytes, list, type Reader, u32, u8 } from '../primitives/codec.ts'
import { SIGNATURE_BYTES } from '../primitives/ed25519.ts'
import { id32 } from '../primitives/point.ts'
import type { CeremonyId, SharingId } from '../primitives/types.ts'
import type { AuthorizationStrength } from './authorization.ts'
import { type CeremonySpec, ceremonyId } from './config.ts'

/**
 * The rules of a slot (protocol 3): what one node has agreed to, signed and given up among all X of one key generation and epoch.
 * Pure: every function returns a new state. The caller makes that state durable before anything that rests on it leaves the node.
 */

/** `degraded`: the operator agreed to act on an AUTH below Q_old (protocol 6). */
export type Approval = 'none' | 'plain' | 'degraded'

/** One X of the slot, as far as this node had to do with it. */
export interface SlotEntry {
  readonly attempt: number
  readonly ceremony: CeremonyId
  readonly approval: Approval
  /** Sent slot `AUTH`: this node's signature over X, 64 bytes. */
  readonly authorization?: Uint8Array
  /** This node signed or is about to sign ABANDON: the X is never approved here any more. */
  readonly abandoned: boolean
  /** Q ABANDONs of its newConfig were seen: no CERT2 of it exists or ever will. */
  readonly decidedAgainst: boolean
  /** Its CERT2 was seen. */
  readonly certified?: SharingId
  /** Other members agreed to it, and this node may have: what it promised was forgotten when a backup was restored. */
  readonly doubtful?: true
}

export interface SlotState {
  /** This node never acts in an attempt below this one again, nor erases on its CERT2. */
  readonly floor: number
  readonly entries: readonly SlotEntry[]
}

export type SlotRefusal =
  /** Another X is approved here for this attempt. */
  | 'other-approved'
  /** The X approved here in a lower attempt, or one that may have been begun, is not decided against. Key generation, import: wait for Q ABANDONs or take the next generation. */
  | 'attempt-open'
  /** This node gave this attempt up for a higher one. */
  | 'superseded'
  /** This node promised to take no part in this X, or Q nodes did. */
  | 'abandoned'
  /** An attempt that this one would compete with has its CERT2. */
  | 'certified'
  /** The operator has not approved this X. */
  | 'not-approved'
  /** There are too few AUTH signatures, or the operator has not agreed to a degraded one. */
  | 'not-authorized'
  /** Only a holder of the old share can promise not to erase it. */
  | 'no-old-share'

export type SlotStep =
  | { readonly state: SlotState; readonly entry: SlotEntry }
  /** `ceremony`: the X that stands in the way, where it is another one. */
  | { readonly refusal: SlotRefusal; readonly ceremony?: CeremonyId }

export const emptySlot: SlotState = { floor: 0, entries: [] }

export const slotEntry = (state: SlotState, ceremony: Uint8Array): SlotEntry | undefined =>
  state.entries.find((entry) => equalBytes(entry.ceremony, ceremony))

const untouched = (spec: CeremonySpec): SlotEntry => ({
  attempt: spec.attempt,
  ceremony: ceremonyId(spec),
  approval: 'none',
  abandoned: false,
  decidedAgainst: false,
})

const entryOf = (state: SlotState, spec: CeremonySpec): SlotEntry =>
  slotEntry(state, ceremonyId(spec)) ?? untouched(spec)

function withEntry(state: SlotState, entry: SlotEntry, floor: number = state.floor): SlotStep {
  const others = state.entries.filter((other) => !equalBytes(other.ceremony, entry.ceremony))
  const entries = [...others, entry].toSorted((left, right) => left.attempt - right.attempt)
  return { state: { floor: Math.max(state.floor, floor), entries }, entry }
}

const refuse = (refusal: SlotRefusal, by?: SlotEntry): SlotStep =>
  by === undefined ? { refusal } : { refusal, ceremony: by.ceremony }

const tookPart = ({ approval, authorization }: SlotEntry): boolean => approval !== 'none' || authorization !== undefined

/** What this node agreed to in a lower attempt, or may have, and is still undecided: it must be decided against, or be given up for AUTH. */
const openBelow = (state: SlotState, attempt: number): SlotEntry | undefined =>
  state.entries.find(
    (entry) => entry.attempt < attempt && (tookPart(entry) || wasForgotten(entry)) && !entry.decidedAgainst,
  )

/** A higher attempt that this node may have begun before a restore: then it acts in none below it. */
const forgottenAbove = (state: SlotState, attempt: number): SlotEntry | undefined =>
  state.entries.find((entry) => entry.attempt > attempt && wasForgotten(entry) && !entry.decidedAgainst)

/** What keeps a node out of this attempt of a key generation or import: two certificates of its slot would be two keys. */
const openElsewhere = (state: SlotState, { kind, attempt }: CeremonySpec): SlotEntry | undefined =>
  kind === 'reshare' ? undefined : (openBelow(state, attempt) ?? forgottenAbove(state, attempt))

/** Another X of the same attempt, as far as `counts`. */
const rivalOf = (
  state: SlotState,
  { attempt, ceremony }: SlotEntry,
  counts: (entry: SlotEntry) => boolean,
): SlotEntry | undefined =>
  state.entries.find((other) => other.attempt === attempt && !equalBytes(other.ceremony, ceremony) && counts(other))

/** What other members told after a restore, when the operator may have approved another X meanwhile. */
const wasForgotten = ({ authorization, doubtful }: SlotEntry): boolean =>
  authorization !== undefined || doubtful === true

/** The AUTH of this node over X itself settles what it agreed to. */
const forgottenRival = (state: SlotState, entry: SlotEntry): SlotEntry | undefined =>
  entry.authorization === undefined ? rivalOf(state, entry, wasForgotten) : undefined

/**
 * The operator agrees to X: one X per (slot, attempt). Agreeing to the same X again changes nothing, or adds `degraded`.
 * A lower attempt in which this node took no part needs no decision here: a quorum of the higher one contains an honest node that did.
 */
export function approve(state: SlotState, spec: CeremonySpec, approval: Exclude<Approval, 'none'>): SlotStep {
  const entry = entryOf(state, spec)
  const { attempt } = spec
  if (entry.abandoned || entry.decidedAgainst) return refuse('abandoned')
  if (attempt < state.floor) return refuse('superseded')
  const rival = rivalOf(state, entry, ({ approval }) => approval !== 'none') ?? forgottenRival(state, entry)
  if (rival !== undefined) return refuse('other-approved', rival)
  const competes = (other: SlotEntry): boolean => spec.kind !== 'reshare' || other.attempt >= attempt
  const certified = state.entries.find((other) => other.certified !== undefined && competes(other))
  if (certified !== undefined) return refuse('certified', certified)
  const open = openElsewhere(state, spec)
  if (open !== undefined) return refuse('attempt-open', open)
  return withEntry(state, { ...entry, approval: entry.approval === 'degraded' ? 'degraded' : approval })
}

/** What an old member knows when it is asked for AUTH. */
export interface OwnWord {
  readonly holdsOldShare: boolean
  /** A certificate of this epoch of the key, or of a later one, came here, by whatever way: the slot knows only those of its own ceremonies. */
  readonly knowsCertificate: boolean
  /** Makes the signature, 64 bytes; called only where it may be made. */
  readonly sign: () => Uint8Array
}

/**
 * AUTH of this node over X, made once and kept with exact bytes. Over an attempt that is not decided against it is a promise (protocol 3,
 * way 2): its signer holds its old share, has seen no CERT2 of this epoch, and never acts below `attempt` again.
 */
export function authorize(state: SlotState, spec: CeremonySpec, own: OwnWord): SlotStep {
  const entry = entryOf(state, spec)
  if (entry.authorization !== undefined) return { state, entry }
  if (entry.abandoned || entry.decidedAgainst) return refuse('abandoned')
  if (entry.approval === 'none') return refuse('not-approved')
  if (spec.attempt < state.floor) return refuse('superseded')
  const rival = forgottenRival(state, entry)
  if (rival !== undefined) return refuse('other-approved', rival)
  const certified = state.entries.find((other) => other.certified !== undefined)
  if (certified !== undefined || own.knowsCertificate) return refuse('certified', certified)
  if (openBelow(state, spec.attempt) !== undefined && !own.holdsOldShare) return refuse('no-old-share')
  return withEntry(state, { ...entry, authorization: own.sign() }, spec.attempt)
}

/**
 * This node starts to act in X (JOIN, DEAL, VOTE): X is approved, its AUTH is there, and every lower attempt is decided against or,
 * RESHARE only, given up for this AUTH. It raises the floor, so that the node acts in one attempt only.
 */
export function begin(state: SlotState, spec: CeremonySpec, strength: AuthorizationStrength | undefined): SlotStep {
  const entry = entryOf(state, spec)
  if (entry.abandoned || entry.decidedAgainst) return refuse('abandoned')
  if (entry.approval === 'none') return refuse('not-approved')
  if (spec.attempt < state.floor) return refuse('superseded')
  const rival = forgottenRival(state, entry)
  if (rival !== undefined) return refuse('other-approved', rival)
  if (!authorized(spec, entry, strength)) return refuse('not-authorized')
  const open = openElsewhere(state, spec)
  if (open !== undefined) return refuse('attempt-open', open)
  return withEntry(state, entry, spec.attempt)
}

function authorized(spec: CeremonySpec, entry: SlotEntry, strength: AuthorizationStrength | undefined): boolean {
  if (spec.kind === 'keygen') return true
  return strength === 'full' || (strength === 'degraded' && entry.approval === 'degraded')
}

/** This node is about to sign ABANDON of X, approved here or not: it is never approved here any more. */
export function abandonHere(state: SlotState, spec: CeremonySpec): SlotStep {
  const entry = entryOf(state, spec)
  if (entry.certified !== undefined) return refuse('certified')
  return withEntry(state, { ...entry, abandoned: true })
}

/** Q ABANDONs of X were seen (protocol 3, way 1). */
export function decideAgainst(state: SlotState, spec: CeremonySpec): SlotStep {
  const entry = entryOf(state, spec)
  return withEntry(state, { ...entry, decidedAgainst: true })
}

/**
 * What another member tells of X to this node, which was restored from a backup and may have forgotten what it promised.
 * @param authorization this node's own AUTH over X, verified, 64 bytes: a promise as when it was made. Without it X is doubtful: this
 *   node may have agreed to it, so it agrees to no other X of this attempt, and in a key generation or import of no other attempt.
 */
export function takeOver(state: SlotState, spec: CeremonySpec, authorization: Uint8Array | undefined): SlotStep {
  const entry = entryOf(state, spec)
  if (entry.authorization !== undefined) return { state, entry }
  if (authorization !== undefined) return withEntry(state, { ...entry, authorization }, spec.attempt)
  if (entry.approval !== 'none' || entry.doubtful === true) return { state, entry }
  return withEntry(state, { ...entry, doubtful: true })
}

/** A verified CERT2 of X. */
export function certify(state: SlotState, spec: CeremonySpec, sharingId: SharingId): SlotStep {
  const entry = entryOf(state, spec)
  return withEntry(state, { ...entry, certified: sharingId })
}

/** True when this node gave X up for a higher attempt: its engine signs nothing any more (input `supersede`). */
export const superseded = (state: SlotState, spec: CeremonySpec): boolean => spec.attempt < state.floor

/**
 * Whether the CERT2 of X orders this node to erase the share before it (protocol 8, rule 3): full AUTH, or X approved here as a
 * degraded one, and not of an attempt that was given up.
 */
export function mayEraseOn(state: SlotState, spec: CeremonySpec, strength: AuthorizationStrength): boolean {
  if (superseded(state, spec)) return false
  const entry = slotEntry(state, ceremonyId(spec))
  return strength === 'full' || (strength === 'degraded' && entry?.approval === 'degraded')
}

/**
 * Whether X, agreed to or authorized here, may still become what counts in its slot: neither Q ABANDONs of it nor the CERT2 of it or of a
 * higher attempt were seen. That its time ran out here, or that this node gave it up, decides nothing: others may have this node's AUTH.
 */
export function isUndecided(state: SlotState, ceremony: Uint8Array): boolean {
  const entry = slotEntry(state, ceremony)
  if (entry === undefined || entry.decidedAgainst) return false
  if (!tookPart(entry) && !wasForgotten(entry)) return false
  return !state.entries.some(({ attempt, certified }) => certified !== undefined && attempt >= entry.attempt)
}

/** The certified attempt that counts: of several the highest. The shares of the others are erased on its CERT2. */
export const winner = (state: SlotState): SlotEntry | undefined =>
  state.entries.findLast((entry) => entry.certified !== undefined)

const APPROVALS: readonly Approval[] = ['none', 'plain', 'degraded']
const MAX_ENTRIES = 4096

/** u8 1 || u32 floor || list(u32 attempt || ceremony || u8 approval || u8 flags || [AUTH(64)] || [sharingId]). */
export function encodeSlot(state: SlotState): Uint8Array {
  return concatBytes(u8(1), u32(state.floor), list(state.entries, encodeEntry))
}

function encodeEntry(entry: SlotEntry): Uint8Array {
  const { authorization, certified } = entry
  const flags =
    (entry.abandoned ? 1 : 0) +
    (entry.decidedAgainst ? 2 : 0) +
    (authorization === undefined ? 0 : 4) +
    (certified === undefined ? 0 : 8) +
    (entry.doubtful === true ? 16 : 0)
  const nothing = new Uint8Array(0)
  const head = concatBytes(u32(entry.attempt), entry.ceremony, u8(APPROVALS.indexOf(entry.approval)), u8(flags))
  return concatBytes(head, authorization ?? nothing, certified ?? nothing)
}

/** @throws KmsError `bad-encoding` */
export function decodeSlot(bytes: Uint8Array): SlotState {
  return decodeAll(bytes, 'slot', (reader) => {
    if (reader.u8('slot.version') !== 1) throw dkgError('bad-encoding', 'a slot record of another version')
    return {
      floor: reader.u32('slot.floor'),
      entries: reader.list({ min: 0, max: MAX_ENTRIES }, 'slot.entries', readEntry),
    }
  })
}

function readEntry(reader: Reader): SlotEntry {
  const attempt = reader.u32('slot.attempt')
  const ceremony = id32<CeremonyId>(reader.take(32, 'slot.ceremony'), 'slot.ceremony')
  const approval = APPROVALS[reader.u8('slot.approval')]
  if (approval === undefined) throw dkgError('bad-encoding', 'a slot record with an unknown approval')
  const flags = reader.u8('slot.flags')
  return {
    attempt,
    ceremony,
    approval,
    abandoned: (flags & 1) !== 0,
    decidedAgainst: (flags & 2) !== 0,
    ...((flags & 16) !== 0 && { doubtful: true as const }),
    ...((flags & 4) !== 0 && { authorization: reader.take(SIGNATURE_BYTES, 'slot.authorization') }),
    ...((flags & 8) !== 0 && {
      certified: id32<SharingId>(reader.take(32, 'slot.certified'), 'slot.certified'),
    }),
  }
}
