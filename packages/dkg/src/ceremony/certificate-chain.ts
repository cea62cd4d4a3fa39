import { KmsError } from '../errors.ts'
import { attempt, bytesKey, equalBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'
import { certificateKeyId } from './certificate.ts'
import { checkCertificate, readFacts, refuseCertificate, type UnsignedFacts } from './check-certificate.ts'
import { configHash } from './config.ts'
import {
  type VerifiedKey,
  verifyCertificate,
  verifyHigherAttempt,
  verifyLaterEpoch,
  verifySuccessor,
} from './verify-certificate.ts'

/** What a client or node trusts of a cluster. */
export interface Pins {
  /** Of the genesis committee, 32 bytes. It never changes. */
  readonly configHash: Uint8Array
  /** Of later committees taken on by hand, because only a degraded AUTH leads to them. 32 bytes each. */
  readonly accepted?: readonly Uint8Array[]
}

/** How far certificates lead from a key that is known. */
export interface Advance {
  /** The latest: the last of `steps`, or the known key itself. */
  readonly key: VerifiedKey
  /** The certificates walked, in order, without the known one. */
  readonly steps: readonly VerifiedKey[]
  /** Why certificates that claim to lead on were not followed: `bad-certificate`, `degraded-certificate`. */
  readonly refused: readonly KmsError[]
}

interface Candidate {
  readonly bytes: Uint8Array
  readonly facts: UnsignedFacts['key']
}

/**
 * Follows the chain from a key that is known, as far as the candidates lead (protocol 6, step 2). The highest attempt of a step
 * counts, and nothing below the epoch of `current` does. Candidates may come from anybody: those that do not hold are refused one by one.
 */
export function advanceKey(
  curve: Curve,
  verify: VerifyMessage,
  current: VerifiedKey,
  candidates: readonly Uint8Array[],
  accepted: readonly Uint8Array[] = [],
): Advance {
  const refused: KmsError[] = []
  const ofKey = candidates.filter((bytes) => isOfKey(bytes, current.keyId))
  const read = ofKey.flatMap((bytes) => readCandidate(curve, bytes, refused))
  return walk({ curve, verify, accepted, refused }, current, read)
}

/** Also what is of no key at all: that is refused where it is read. */
function isOfKey(bytes: Uint8Array, keyId: Uint8Array): boolean {
  const named = attempt(() => certificateKeyId(bytes))
  return named === undefined || equalBytes(named, keyId)
}

function readCandidate(curve: Curve, bytes: Uint8Array, refused: KmsError[]): Candidate[] {
  try {
    return [{ bytes, facts: readFacts(curve, bytes).key }]
  } catch (error) {
    refused.push(refusal(error))
    return []
  }
}

const isKmsError = (error: unknown): error is KmsError => error instanceof KmsError

function refusal(error: unknown): KmsError {
  if (isKmsError(error)) return error
  throw error
}

interface Walk {
  readonly curve: Curve
  readonly verify: VerifyMessage
  readonly accepted: readonly Uint8Array[]
  readonly refused: KmsError[]
}

function walk(context: Walk, start: VerifiedKey, candidates: readonly Candidate[]): Advance {
  const pool = new Set(candidates.filter(({ facts }) => equalBytes(facts.keyId, start.keyId)))
  const steps: VerifiedKey[] = []
  let key = start
  for (let next = nextStep(key, pool); next !== undefined; next = nextStep(key, pool)) {
    pool.delete(next.candidate)
    try {
      key = verifyStep(context, key, next)
      steps.push(key)
    } catch (error) {
      context.refused.push(refusal(error))
    }
  }
  return { key, steps, refused: context.refused }
}

interface Step {
  readonly kind: 'higher-attempt' | 'later-epoch' | 'successor'
  readonly candidate: Candidate
}

/** A rival of the current epoch first, then as far as the same committee leads, then one step to the next committee. */
function nextStep(current: VerifiedKey, pool: ReadonlySet<Candidate>): Step | undefined {
  const hash = configHash(current.config)
  const from = current.prevOutcome
  const rules: readonly (readonly [Step['kind'], (facts: Candidate['facts']) => boolean])[] = [
    [
      'higher-attempt',
      ({ epoch, attempt, prevOutcome }) =>
        epoch === current.epoch && attempt > current.attempt && sameBytes(prevOutcome, from),
    ],
    ['later-epoch', ({ epoch, config }) => epoch > current.epoch && equalBytes(configHash(config), hash)],
    ['successor', ({ epoch, prevOutcome }) => epoch === current.epoch + 1 && sameBytes(prevOutcome, current.sharingId)],
  ]
  for (const [kind, fits] of rules) {
    const [candidate] = [...pool].filter(({ facts }) => fits(facts)).toSorted(latestFirst)
    if (candidate !== undefined) return { kind, candidate }
  }
  return undefined
}

const sameBytes = (left: Uint8Array | undefined, right: Uint8Array | undefined): boolean =>
  left !== undefined && right !== undefined && equalBytes(left, right)

const latestFirst = (left: Candidate, right: Candidate): number =>
  right.facts.epoch - left.facts.epoch || right.facts.attempt - left.facts.attempt

function verifyStep({ curve, verify, accepted }: Walk, current: VerifiedKey, { kind, candidate }: Step): VerifiedKey {
  const { bytes, facts } = candidate
  if (kind === 'later-epoch') return verifyLaterEpoch(curve, verify, current, bytes)
  const hash = configHash(facts.config)
  const acceptDegraded = accepted.find((pinned) => equalBytes(pinned, hash))
  const options = acceptDegraded && { acceptDegraded }
  return kind === 'successor'
    ? verifySuccessor(curve, verify, current, bytes, options)
    : verifyHigherAttempt(curve, verify, current, bytes, options)
}

/**
 * From the pins to the latest epoch of every key that the certificates are of, in the order in which the keys first appear.
 * Superseded certificates are not verified; every other one must lead somewhere.
 * @throws KmsError `bad-certificate` with the reason, `degraded-certificate`
 */
export const followCertificates = (
  curve: Curve,
  verify: VerifyMessage,
  pins: Pins,
  certificates: readonly Uint8Array[],
): VerifiedKey[] => followChains(curve, verify, pins, certificates).map(({ key }) => key)

/** `followCertificates` with the certificates that each chain needs, the pinned one first. */
export function followChains(
  curve: Curve,
  verify: VerifyMessage,
  pins: Pins,
  certificates: readonly Uint8Array[],
): Omit<Advance, 'refused'>[] {
  const keys = new Map<string, Candidate[]>()
  for (const bytes of certificates) {
    const candidate = { bytes, facts: readFacts(curve, bytes).key }
    const name = bytesKey(candidate.facts.keyId)
    keys.set(name, [...(keys.get(name) ?? []), candidate])
  }
  return [...keys.values()].map((group) => followGroup(curve, verify, pins, group))
}

function followGroup(
  curve: Curve,
  verify: VerifyMessage,
  pins: Pins,
  group: readonly Candidate[],
): Omit<Advance, 'refused'> {
  const accepted = pins.accepted ?? []
  const trusted = [pins.configHash, ...accepted]
  const pinOf = ({ facts }: Candidate) => trusted.find((hash) => equalBytes(hash, configHash(facts.config)))
  const [first] = group.filter(pinOf).toSorted(earliestFirst)
  const pin = first && pinOf(first)
  if (first === undefined || pin === undefined)
    return refuseCertificate('made by another committee than the pinned one, and no pinned one leads to it')
  const start = verifyCertificate(curve, verify, first.bytes, { configHash: pin })
  const { key, steps, refused } = walk({ curve, verify, accepted, refused: [] }, start, group)
  const [problem] = refused
  if (problem !== undefined) throw problem
  if (group.some(({ facts }) => facts.epoch > key.epoch)) refuseCertificate('no certificate before it leads to it')
  const chain = [start, ...steps]
  for (const { bytes, facts } of group) if (isRepeated(chain, bytes, facts)) checkCertificate(curve, verify, bytes)
  return { key, steps: chain }
}

/** A second certificate of a sharing that the chain goes through: other signatures, which must hold too. */
function isRepeated(chain: readonly VerifiedKey[], bytes: Uint8Array, { sharingId }: Candidate['facts']): boolean {
  const known = chain.find((step) => equalBytes(step.sharingId, sharingId))
  return known !== undefined && !equalBytes(known.certificate, bytes)
}

const earliestFirst = (left: Candidate, right: Candidate): number =>
  left.facts.epoch - right.facts.epoch || right.facts.attempt - left.facts.attempt

/** The chain without what lies between two certificates of the same committee: not needed to get from one to the other. */
export function withoutRefreshes(chain: readonly VerifiedKey[]): VerifiedKey[] {
  const hashes = chain.map(({ config }) => bytesKey(configHash(config)))
  return chain.filter((_, at) => at === 0 || hashes[at - 1] !== hashes[at] || hashes[at + 1] !== hashes[at])
}
