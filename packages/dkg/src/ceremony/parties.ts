import { dkgError } from '../errors.ts'
import { equalBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { CeremonyId, ParticipantIndex, PointBytes } from '../primitives/types.ts'
import { type Commitment, verificationShare } from '../sharing/feldman.ts'
import type { CheckedKey } from './check-certificate.ts'
import {
  type CeremonySpec,
  ceremonyId,
  type CommitteeConfig,
  configHash,
  dealerConfig,
  importOutcome,
  type Member,
  memberAt,
  quorum,
} from './config.ts'
import { maxSignedMessageBytes } from './signed-message.ts'

/**
 * Who takes part in a ceremony, and by which rules (protocol 4): members of newConfig receive and vote, dealers are the same nodes in a
 * KEYGEN and the old holders otherwise. Follows from X and, for a RESHARE, from the old certificate: never from a message.
 */
export interface Parties {
  readonly spec: CeremonySpec
  readonly ceremony: CeremonyId
  /** newConfig: receivers and voters. n, t, f and Q of the ceremony are its. */
  readonly receivers: CommitteeConfig
  readonly dealers: CommitteeConfig
  /** Dealings that an outcome needs at least: Q in a KEYGEN, else t_old (protocol R4). */
  readonly minDealers: number
  /** A' of the old certificate, RESHARE only: every dealing is checked against it alone (D5). */
  readonly oldCommitment?: Commitment
  /** The longest signed message of this ceremony that is read. */
  readonly maxMessageBytes: number
}

/** What a ceremony needs to know of the sharing it replaces. */
export type PreviousSharing = Pick<CheckedKey, 'keyId' | 'sharingId' | 'epoch' | 'config' | 'commitment'>

/**
 * @param previous RESHARE: the verified certificate of the sharing that X replaces
 * @throws KmsError `bad-parameters` where X and `previous` do not belong together
 */
export function partiesOf(spec: CeremonySpec, previous?: PreviousSharing): Parties {
  const receivers = spec.newConfig
  const dealers = dealerConfig(spec)
  const common = {
    spec,
    ceremony: ceremonyId(spec),
    receivers,
    dealers,
    maxMessageBytes: maxSignedMessageBytes(receivers.n, receivers.t, spec.kind === 'keygen' ? 0 : dealers.n),
  }
  if (spec.kind === 'keygen') return { ...common, minDealers: quorum(receivers) }
  if (spec.kind === 'import') return { ...common, minDealers: 1 }
  const fits =
    previous !== undefined &&
    equalBytes(previous.keyId, spec.keyId) &&
    equalBytes(previous.sharingId, spec.prevOutcome) &&
    previous.epoch + 1 === spec.epoch &&
    equalBytes(configHash(previous.config), configHash(spec.oldConfig))
  if (!fits) throw dkgError('bad-parameters', 'a resharing needs the certificate of exactly the sharing it replaces')
  return { ...common, minDealers: dealers.t, oldCommitment: previous.commitment }
}

/** The member with this index: an index in both committees stands for one identity. */
export const partyAt = (parties: Pick<Parties, 'receivers' | 'dealers'>, index: number): Member | undefined =>
  memberAt(parties.receivers, index) ?? memberAt(parties.dealers, index)

export const isReceiver = (parties: Parties, index: number): boolean => memberAt(parties.receivers, index) !== undefined
export const isDealer = (parties: Parties, index: number): boolean => memberAt(parties.dealers, index) !== undefined

/** Everybody of both committees, ascending by index. */
export function everybody({ receivers, dealers }: Parties): ParticipantIndex[] {
  const all = new Set([...receivers.members, ...dealers.members].map(({ index }) => index))
  return [...all].toSorted((left, right) => left - right)
}

/** D5: whether a dealer may deal the constant term behind A_i[0]: any in a KEYGEN, else exactly its old share, or the imported key. */
export function mayDeal(curve: Curve, parties: Parties, dealer: ParticipantIndex, constant: PointBytes): boolean {
  const { spec, oldCommitment } = parties
  if (spec.kind === 'import') return equalBytes(importOutcome(constant), spec.prevOutcome)
  return oldCommitment === undefined || equalBytes(verificationShare(curve, oldCommitment, dealer), constant)
}

/** Whether Y of an outcome is the key that X names: any in a KEYGEN, else the old one (protocol R4). */
export function isKeyOf(parties: Parties, groupKey: PointBytes): boolean {
  const { spec, oldCommitment } = parties
  if (spec.kind === 'import') return equalBytes(importOutcome(groupKey), spec.prevOutcome)
  const [old] = oldCommitment ?? []
  return old === undefined || equalBytes(old, groupKey)
}
