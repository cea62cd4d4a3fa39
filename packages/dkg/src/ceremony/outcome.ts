import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, equalBytes, list, u16, u32, u8 } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { taggedHash } from '../primitives/hash.ts'
import type { CeremonyId, KeyId, PointBytes, SharingId } from '../primitives/types.ts'
import type { Commitment } from '../sharing/feldman.ts'
import { type CeremonySpec, type CommitteeConfig, encodeKeyName, MAX_MEMBERS } from './config.ts'
import { lagrangeCoefficients } from '../sharing/lagrange.ts'
import { isDealer, isKeyOf, type Parties } from './parties.ts'
import { type DealingRef, encodeDealingRefs, readDealingRefs, readPoint } from './messages.ts'

/** OUT: what a committee agrees on (protocol R4). 107 + 33t + 34|QUAL| bytes. */
export interface Outcome {
  readonly ceremony: CeremonyId
  /** v0, the fresh view that made it. */
  readonly view: number
  readonly sid: Uint8Array
  readonly keyId: KeyId
  readonly t: number
  /** A'[0..t-1]; A'[0] is the group public key Y. */
  readonly commitment: Commitment
  /** QUAL with the dealings it stands on. */
  readonly dealings: readonly DealingRef[]
}

const OUTCOME_VERSION = 1

export function encodeOutcome(outcome: Outcome): Uint8Array {
  return concatBytes(
    u8(OUTCOME_VERSION),
    outcome.ceremony,
    u32(outcome.view),
    outcome.sid,
    outcome.keyId,
    u16(outcome.t),
    list(outcome.commitment, (point) => point),
    encodeDealingRefs(outcome.dealings),
  )
}

/**
 * Strict OUT: as many commitments as its own t says, t as in `config`.
 * @throws KmsError `bad-encoding`, `bad-point`
 */
export function decodeOutcome(curve: Curve, config: CommitteeConfig, bytes: Uint8Array): Outcome {
  return decodeAll(bytes, 'OUT', (reader) => {
    if (reader.u8('OUT.version') !== OUTCOME_VERSION) throw dkgError('bad-encoding', 'unknown outcome version')
    const ceremony = reader.take(32, 'OUT.ceremony') as CeremonyId
    const view = reader.u32('OUT.view')
    const sid = reader.take(32, 'OUT.sid')
    const keyId = reader.take(32, 'OUT.keyId') as KeyId
    const t = reader.u16('OUT.t')
    if (t !== config.t) throw dkgError('bad-encoding', 'OUT.t is not the threshold of its committee')
    const commitment = reader.list({ min: t, max: t }, 'OUT.commitment', (item) =>
      readPoint(curve, item, 'OUT.commitment'),
    )
    return { ceremony, view, sid, keyId, t, commitment, dealings: readDealingRefs(reader, MAX_MEMBERS, 'OUT.dealings') }
  })
}

/** o = TH("outcome", OUT): names the sharing. 32 bytes. */
export const outcomeHash = (encoded: Uint8Array): SharingId => taggedHash('outcome', encoded) as SharingId

/** keyId of a KEYGEN (protocol R4). 32 bytes. */
export const keygenKeyId = (spec: CeremonySpec, groupKey: PointBytes, sid: Uint8Array): KeyId =>
  taggedHash('key-id', u16(spec.suite), encodeKeyName(spec), groupKey, sid) as KeyId

/** The key id of an outcome with this group key: derived in a KEYGEN, kept otherwise (protocol R4). */
export const keyIdOf = ({ spec }: Parties, groupKey: PointBytes, sid: Uint8Array): KeyId =>
  spec.kind === 'keygen' ? keygenKeyId(spec, groupKey, sid) : spec.keyId

/** What follows for an outcome from X alone: ceremony, key id, the key itself, size and members of QUAL (protocol R4). */
export function isOutcomeOf(parties: Parties, outcome: Outcome): boolean {
  const { ceremony, keyId, sid, dealings, commitment } = outcome
  const [groupKey] = commitment
  return (
    groupKey !== undefined &&
    equalBytes(ceremony, parties.ceremony) &&
    equalBytes(keyId, keyIdOf(parties, groupKey, sid)) &&
    isKeyOf(parties, groupKey) &&
    dealings.length >= parties.minDealers &&
    dealings.every(({ dealer }) => isDealer(parties, dealer))
  )
}

/** The weights of QUAL in an outcome: 1 in a KEYGEN, else Lagrange at 0 over QUAL (protocol R4). */
export const dealerWeights = ({ spec }: Parties, dealings: readonly DealingRef[]): readonly bigint[] =>
  spec.kind === 'keygen' ? dealings.map(() => 1n) : lagrangeCoefficients(dealings.map(({ dealer }) => dealer))

/**
 * A'[k] = sum of weight_i * A_i[k] over QUAL (protocol R4); undefined where a sum is the identity.
 * @param commitments t points each, in the order of `weights`
 */
export function combineCommitments(
  curve: Curve,
  weights: readonly bigint[],
  commitments: readonly Commitment[],
): Commitment | undefined {
  const [first] = commitments
  if (first === undefined) throw dkgError('bad-parameters', 'QUAL is empty')
  const plain = weights.every((weight) => weight === 1n)
  const combined: PointBytes[] = []
  for (let k = 0; k < first.length; k++) {
    const column = commitments.flatMap((commitment) => commitment[k] ?? [])
    if (column.length !== commitments.length) return undefined
    const point = plain
      ? curve.sum(column)
      : curve.linearCombination(column.map((entry, at) => ({ scalar: weights[at] ?? 0n, point: entry })))
    if (point === undefined) return undefined
    combined.push(point)
  }
  return combined
}

interface Combined {
  /** The dealings, as bytes. */
  readonly dealings: Uint8Array
  readonly commitment: Commitment | undefined
}

const lastCombined = new WeakMap<Parties, WeakMap<Curve, Combined>>()

/**
 * A' of these dealings, whose hashes bind their commitments. The last one of a ceremony is remembered: a node judges the proposal that it
 * votes for, and a leader makes it too.
 * @param commitments of the dealings, in their order: those of the DEALs with these hashes
 */
export function combineDealings(
  curve: Curve,
  parties: Parties,
  dealings: readonly DealingRef[],
  commitments: readonly Commitment[],
): Commitment | undefined {
  const bytes = encodeDealingRefs(dealings)
  const ofCeremony = lastCombined.get(parties) ?? new WeakMap<Curve, Combined>()
  lastCombined.set(parties, ofCeremony)
  const before = ofCeremony.get(curve)
  if (before !== undefined && equalBytes(before.dealings, bytes)) return before.commitment
  const commitment = combineCommitments(curve, dealerWeights(parties, dealings), commitments)
  ofCeremony.set(curve, { dealings: bytes, commitment })
  return commitment
}
