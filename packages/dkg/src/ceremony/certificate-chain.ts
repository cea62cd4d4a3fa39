import { KmsError } from '../errors.ts'
import { attempt, equalBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'
import { certificateKeyId } from './certificate.ts'
import { readFacts, type UnsignedFacts } from './check-certificate.ts'
import { configHash } from './config.ts'
import { namesQuorum } from './fuller-authorization.ts'
import { type VerifiedKey, verifyHigherAttempt, verifyLaterEpoch, verifySuccessor } from './verify-certificate.ts'

/** What a client or node trusts of a cluster. */
export interface Pins {
  /** Of the genesis committee, 32 bytes. It never changes. */
  readonly configHash: Uint8Array
  /** Of later committees taken on by hand, because only a degraded AUTH leads to them: a chain may go on there, no key begins with them. 32 bytes each. */
  readonly accepted?: readonly Uint8Array[]
}

/** What is proved from any one committee of the pins on: for evidence, which needs no key to begin rightly. */
export const eachPinned = ({ configHash: genesis, accepted = [] }: Pins): readonly Pins[] =>
  [genesis, ...accepted].map((hash) => ({ configHash: hash, accepted }))

/** How far certificates lead from a key that is known. */
export interface Advance {
  /** The latest: the last of `steps`, or the known key itself. */
  readonly key: VerifiedKey
  /** The certificates walked, in order, without the known one. */
  readonly steps: readonly VerifiedKey[]
  /** Why certificates that claim to lead on were not followed: `bad-certificate`, `degraded-certificate`. */
  readonly refused: readonly KmsError[]
  /** The same, with the certificates. */
  readonly refusals: readonly Refusal[]
}

/** A certificate that claims to lead on and was not followed: `bad-certificate`, `degraded-certificate`. */
export interface Refusal {
  readonly certificate: Uint8Array
  readonly problem: KmsError
}

/** A certificate that is read, once, and not verified. */
export interface Candidate {
  readonly bytes: Uint8Array
  readonly facts: UnsignedFacts['key']
  /** Config hash of its committee, 32 bytes. */
  readonly committee: Uint8Array
  /** It has enough AUTH signatures for a full one, unverified. */
  readonly full: boolean
}

/** @throws KmsError `bad-certificate` */
export function readCandidate(curve: Curve, bytes: Uint8Array): Candidate {
  const facts = readFacts(curve, bytes)
  return { bytes, facts: facts.key, committee: configHash(facts.key.config), full: namesQuorum(facts) }
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
  const refusals: Refusal[] = []
  const ofKey = candidates.filter((bytes) => isOfKey(bytes, current.keyId))
  const read = ofKey.flatMap((bytes) => readOrRefuse(curve, bytes, refusals))
  return walkChain({ curve, verify, accepted, refusals }, current, read)
}

/** Also what is of no key at all: that is refused where it is read. */
function isOfKey(bytes: Uint8Array, keyId: Uint8Array): boolean {
  const named = attempt(() => certificateKeyId(bytes))
  return named === undefined || equalBytes(named, keyId)
}

function readOrRefuse(curve: Curve, bytes: Uint8Array, refusals: Refusal[]): Candidate[] {
  try {
    return [readCandidate(curve, bytes)]
  } catch (error) {
    refusals.push({ certificate: bytes, problem: refusal(error) })
    return []
  }
}

const isKmsError = (error: unknown): error is KmsError => error instanceof KmsError

function refusal(error: unknown): KmsError {
  if (isKmsError(error)) return error
  throw error
}

export interface Walk {
  readonly curve: Curve
  readonly verify: VerifyMessage
  readonly accepted: readonly Uint8Array[]
  readonly refusals: Refusal[]
}

/** From `start` as far as the candidates of its key lead. */
export function walkChain(context: Walk, start: VerifiedKey, candidates: readonly Candidate[]): Advance {
  const pool = new Set(candidates.filter(({ facts }) => equalBytes(facts.keyId, start.keyId)))
  const steps: VerifiedKey[] = []
  let key = start
  for (let next = nextStep(key, pool); next !== undefined; next = nextStep(key, pool)) {
    pool.delete(next.candidate)
    try {
      key = verifyStep(context, key, next)
      steps.push(key)
    } catch (error) {
      context.refusals.push({ certificate: next.candidate.bytes, problem: refusal(error) })
    }
  }
  const { refusals } = context
  return { key, steps, refused: refusals.map(({ problem }) => problem), refusals }
}

interface Step {
  readonly kind: 'higher-attempt' | 'later-epoch' | 'successor'
  readonly candidate: Candidate
}

/**
 * A rival of the current epoch first, then as far as the same committee leads, then one step to the next committee. Of two certificates
 * of one sharing the one with the full AUTH.
 */
function nextStep(current: VerifiedKey, pool: ReadonlySet<Candidate>): Step | undefined {
  const hash = configHash(current.config)
  const from = current.prevOutcome
  const rules: readonly (readonly [Step['kind'], (candidate: Candidate) => boolean])[] = [
    [
      'higher-attempt',
      ({ facts: { epoch, attempt, prevOutcome } }) =>
        epoch === current.epoch && attempt > current.attempt && sameBytes(prevOutcome, from),
    ],
    ['later-epoch', ({ facts, committee }) => facts.epoch > current.epoch && equalBytes(committee, hash)],
    [
      'successor',
      ({ facts: { epoch, prevOutcome } }) => epoch === current.epoch + 1 && sameBytes(prevOutcome, current.sharingId),
    ],
  ]
  for (const [kind, fits] of rules) {
    const [candidate] = [...pool]
      .filter((offered) => fits(offered))
      .toSorted((left, right) => latestFirst(left, right) || Number(right.full) - Number(left.full))
    if (candidate !== undefined) return { kind, candidate }
  }
  return undefined
}

const sameBytes = (left: Uint8Array | undefined, right: Uint8Array | undefined): boolean =>
  left !== undefined && right !== undefined && equalBytes(left, right)

const latestFirst = (left: Candidate, right: Candidate): number =>
  right.facts.epoch - left.facts.epoch || right.facts.attempt - left.facts.attempt

function verifyStep({ curve, verify, accepted }: Walk, current: VerifiedKey, { kind, candidate }: Step): VerifiedKey {
  const { bytes, committee } = candidate
  if (kind === 'later-epoch') return verifyLaterEpoch(curve, verify, current, bytes)
  const acceptDegraded = accepted.find((pinned) => equalBytes(pinned, committee))
  const options = acceptDegraded && { acceptDegraded }
  return kind === 'successor'
    ? verifySuccessor(curve, verify, current, bytes, options)
    : verifyHigherAttempt(curve, verify, current, bytes, options)
}
