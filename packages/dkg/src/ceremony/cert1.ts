import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, list, u16, u32, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { SIGNATURE_BYTES, type VerifyMessage } from '../primitives/ed25519.ts'
import type { SharingId } from '../primitives/types.ts'
import type { FlaggedSignature, MemberSignature } from './certificate.ts'
import { MAX_MEMBERS, memberAt, quorum } from './config.ts'
import { encodeVote, readAscending, readFlag, readIndex } from './messages.ts'
import { decodeOutcome, isOutcomeOf, type Outcome, outcomeHash } from './outcome.ts'
import type { Parties } from './parties.ts'
import { rebuildBody, verifyBody } from './signed-message.ts'

/**
 * CERT1(v, o): at least Q members voted for o in its own view v0, holding their shares, and where v is a later view, Q members voted for
 * it there (protocol R5). It is what a node carries into the next view, so that an outcome that may have been certified is proposed again.
 */
export interface Cert1 {
  readonly bytes: Uint8Array
  /** v: the view whose votes it shows. */
  readonly view: number
  readonly outcome: Outcome
  readonly outcomeBytes: Uint8Array
  /** o. */
  readonly hash: SharingId
  /** VOTEs of v0 with holds = 1, ascending. */
  readonly votes: readonly MemberSignature[]
  /** VOTEs of v, empty when v = v0. */
  readonly laterVotes: readonly FlaggedSignature[]
}

/** `var OUT || u32 v0 || list(u16 j || sig64) || u32 v || [list(u16 j || u8 holds || sig64) if v != v0]` (protocol R5). */
export function createCert1(parts: Omit<Cert1, 'bytes'>): Cert1 {
  const { view, outcome, outcomeBytes, votes, laterVotes } = parts
  const bytes = concatBytes(
    varBytes(outcomeBytes),
    u32(outcome.view),
    list(votes, ({ index, signature }) => concatBytes(u16(index), signature)),
    u32(view),
    view === outcome.view
      ? new Uint8Array(0)
      : list(laterVotes, ({ index, holds, signature }) => concatBytes(u16(index), u8(holds ? 1 : 0), signature)),
  )
  return { ...parts, bytes }
}

/** Strict decoding, no signature checked. @throws KmsError `bad-encoding`, `bad-point` */
export function decodeCert1(curve: Curve, parties: Parties, bytes: Uint8Array): Cert1 {
  return decodeAll(bytes, 'CERT1', (reader) => {
    const outcomeBytes = reader.var(parties.maxMessageBytes, 'CERT1.OUT')
    const outcome = decodeOutcome(curve, parties.receivers, outcomeBytes)
    if (reader.u32('CERT1.v0') !== outcome.view) throw dkgError('bad-encoding', 'CERT1.v0 is not OUT.v0')
    const votes = readAscending(
      reader,
      MAX_MEMBERS,
      'CERT1.votes',
      (item) => ({ index: readIndex(item, 'CERT1.votes'), signature: item.take(SIGNATURE_BYTES, 'CERT1.votes') }),
      ({ index }) => index,
    )
    const view = reader.u32('CERT1.v')
    if (view < outcome.view) throw dkgError('bad-encoding', 'CERT1.v is below v0')
    const laterVotes =
      view === outcome.view
        ? []
        : readAscending(
            reader,
            MAX_MEMBERS,
            'CERT1.laterVotes',
            (item) => ({
              index: readIndex(item, 'CERT1.laterVotes'),
              holds: readFlag(item, 'CERT1.laterVotes'),
              signature: item.take(SIGNATURE_BYTES, 'CERT1.laterVotes'),
            }),
            ({ index }) => index,
          )
    return { bytes, view, outcome, outcomeBytes, hash: outcomeHash(outcomeBytes), votes, laterVotes }
  })
}

/** Whether this CERT1 holds: an outcome of this ceremony, at least Q votes in each list, each of a distinct member, and not one bad among them. */
export function isValidCert1(verify: VerifyMessage, parties: Parties, cert1: Cert1): boolean {
  const { receivers, ceremony } = parties
  const { outcome, hash, view, votes, laterVotes } = cert1
  const signed = (at: number, entry: MemberSignature, holds: boolean): boolean => {
    const member = memberAt(receivers, entry.index)
    const header = { name: 'vote', ceremony, view: at, from: entry.index } as const
    const body = rebuildBody(header, encodeVote({ outcomeHash: hash, holds }))
    return member !== undefined && verifyBody(verify, member.publicKey, 'vote', body, entry.signature)
  }
  const enough = quorum(receivers)
  return (
    isOutcomeOf(parties, outcome) &&
    votes.length >= enough &&
    votes.every((entry) => signed(outcome.view, entry, true)) &&
    (view === outcome.view ||
      (laterVotes.length >= enough && laterVotes.every((entry) => signed(view, entry, entry.holds))))
  )
}
