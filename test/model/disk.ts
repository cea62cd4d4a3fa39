import { authorizationStrength } from '../../packages/dkg/src/ceremony/authorization.ts'
import { decodeCertificate } from '../../packages/dkg/src/ceremony/certificate.ts'
import type { ArchivedDealing } from '../../packages/dkg/src/ceremony/engine-types.ts'
import { encodeOutcome, outcomeHash } from '../../packages/dkg/src/ceremony/outcome.ts'
import { decodeSigned, verifySigned } from '../../packages/dkg/src/ceremony/signed-message.ts'
import * as slots from '../../packages/dkg/src/ceremony/slot.ts'
import { decodeSnapshot } from '../../packages/dkg/src/ceremony/snapshot.ts'
import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import type { Curve } from '../../packages/dkg/src/primitives/curve.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { SharingId } from '../../packages/dkg/src/primitives/types.ts'
import type { Kit } from './identities.ts'
import type { Proposal } from './proposal.ts'

export interface StoredSharing {
  readonly proposal: Proposal
  readonly certificate: Uint8Array
  readonly share: Uint8Array | undefined
}

/** What survives a crash. */
export interface Disk {
  slot: slots.SlotState
  readonly begun: Set<Proposal>
  readonly snapshots: Map<Proposal, Uint8Array>
  readonly archives: Map<Proposal, { readonly certificate: Uint8Array; readonly dealings: readonly ArchivedDealing[] }>
  /** By sharing id. */
  readonly shares: Map<string, StoredSharing>
  /** Every ABANDON that came by, own ones included: what tells others that an X is decided against. */
  readonly abandons: Map<Proposal, ReadonlyMap<number, Uint8Array>>
  oldShare: Uint8Array | undefined
}

export const emptyDisk = (oldShare: Uint8Array | undefined): Disk => ({
  slot: slots.emptySlot,
  begun: new Set(),
  snapshots: new Map(),
  archives: new Map(),
  shares: new Map(),
  abandons: new Map(),
  oldShare,
})

export const copyDisk = (disk: Disk): Disk => ({
  ...disk,
  begun: new Set(disk.begun),
  snapshots: new Map(disk.snapshots),
  archives: new Map(disk.archives),
  shares: new Map(disk.shares),
  abandons: new Map(disk.abandons),
})

export const sharingOf = (curve: Curve, certificate: Uint8Array): SharingId =>
  outcomeHash(encodeOutcome(decodeCertificate(curve, certificate).outcome))

/** Whether a share of this outcome is on the disk: installed, PREPARED, or certified and not yet installed. */
export function holdsShare(curve: Curve, disk: Disk, proposal: Proposal, outcome: string): boolean {
  if (disk.shares.get(outcome)?.share !== undefined) return true
  const snapshot = disk.snapshots.get(proposal)
  if (snapshot === undefined) return false
  const { prepared, certificate, share } = decodeSnapshot(proposal.ceremony, Secret.copyOf(snapshot))
  if (prepared.some((entry) => bytesKey(entry.outcome) === outcome)) return true
  return share !== undefined && certificate !== undefined && bytesKey(sharingOf(curve, certificate)) === outcome
}

/**
 * Protocol 8, rule 3: the old share goes on the certificate that counts, and with it the shares of lower attempts.
 * @returns the X on whose word something was erased
 */
export function eraseOld({ curve, verify }: Kit, disk: Disk): Proposal | undefined {
  const top = slots.winner(disk.slot)
  const sharing = top?.certified && disk.shares.get(bytesKey(top.certified))
  if (sharing === undefined) return undefined
  const { authorizations, spec } = decodeCertificate(curve, sharing.certificate)
  const strength = authorizationStrength(verify, spec, authorizations)
  if (spec.kind === 'keygen' || strength === undefined || !slots.mayEraseOn(disk.slot, spec, strength)) return undefined
  disk.oldShare = undefined
  for (const [id, other] of disk.shares)
    if (other.proposal.plan.attempt < sharing.proposal.plan.attempt) disk.shares.delete(id)
  return sharing.proposal
}

/** Keeps a valid ABANDON of anybody. */
export function noteAbandon({ verify }: Kit, disk: Disk, proposal: Proposal, signed: Uint8Array): void {
  const message = decodeSigned(signed)
  const known = disk.abandons.get(proposal) ?? new Map<number, Uint8Array>()
  if (known.has(message.header.from) || !verifySigned(verify, proposal.parties, message)) return
  disk.abandons.set(proposal, new Map(known).set(message.header.from, signed))
}
