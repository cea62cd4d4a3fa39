import { dkgError } from '../errors.ts'
import { bytesKey, equalBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'
import type { PointBytes, SharingId } from '../primitives/types.ts'
import {
  type CheckedKey,
  checkSignatures,
  readFacts,
  refuseCertificate,
  type UnsignedFacts,
} from './check-certificate.ts'
import { configHash } from './config.ts'

/** A certificate of a committee that is trusted: pinned, or reached from a pinned one. */
export interface VerifiedKey extends CheckedKey {
  readonly trustedBy: 'pin' | 'chain'
}

/** What a caller trusts from elsewhere. */
export interface CertificatePin {
  /** Of the committee that made the certificate, 32 bytes. */
  readonly configHash: Uint8Array
  /** Y, where it is known: an import's clients should name it (protocol 13 f). */
  readonly groupKey?: PointBytes
}

/**
 * The client's check of a certificate whose own committee is pinned: a genesis certificate, or one of a committee accepted by hand (protocol 6).
 * @throws KmsError `bad-certificate` with the reason
 */
export function verifyCertificate(
  curve: Curve,
  verify: VerifyMessage,
  bytes: Uint8Array,
  pin: CertificatePin,
): VerifiedKey {
  const facts = readFacts(curve, bytes)
  const { config, groupKey } = facts.key
  if (!equalBytes(configHash(config), pin.configHash))
    refuseCertificate('made by another committee than the pinned one')
  if (pin.groupKey !== undefined && !equalBytes(groupKey, pin.groupKey))
    refuseCertificate('of another public key than the pinned one')
  return { ...checkSignatures(verify, facts), trustedBy: 'pin' }
}

export interface SuccessorOptions {
  /** Hash of a new committee that the caller accepts although less than a quorum of the old one authorised it. 32 bytes. */
  readonly acceptDegraded?: Uint8Array
}

/**
 * The chain rule (protocol 6, step 2): the certificate of the next epoch, handed over by the committee of `previous`.
 * @throws KmsError `bad-certificate` with the reason; `degraded-certificate` when everything holds but less than a quorum
 *   of the old committee authorised it: `data.configHash` is what to pin (protocol 6, degraded AUTH)
 */
export function verifySuccessor(
  curve: Curve,
  verify: VerifyMessage,
  previous: VerifiedKey,
  bytes: Uint8Array,
  options: SuccessorOptions = {},
): VerifiedKey {
  const facts = readFacts(curve, bytes)
  requireSameKey(previous, facts.key)
  if (facts.key.epoch !== previous.epoch + 1) refuseCertificate('not of the next epoch')
  requireStep(facts.key, previous.sharingId, configHash(previous.config))
  return handedOver(verify, facts, options)
}

/**
 * A higher attempt of the step that made `current`: where two got certified, the higher one counts (protocol 3).
 * @throws KmsError as `verifySuccessor`
 */
export function verifyHigherAttempt(
  curve: Curve,
  verify: VerifyMessage,
  current: VerifiedKey,
  bytes: Uint8Array,
  options: SuccessorOptions = {},
): VerifiedKey {
  const facts = readFacts(curve, bytes)
  requireSameKey(current, facts.key)
  const { prevOutcome, oldConfigHash } = current
  if (prevOutcome === undefined || oldConfigHash === undefined)
    return refuseCertificate('a key generation has no attempts that share a key')
  if (facts.key.epoch !== current.epoch || facts.key.attempt <= current.attempt)
    refuseCertificate('not a higher attempt of the same epoch')
  requireStep(facts.key, prevOutcome, oldConfigHash)
  return handedOver(verify, facts, options)
}

/**
 * A later epoch made by the very committee of `current`, without the steps between: a trusted committee's quorum is what a
 * pinned one's is. Keeps a chain as long as its changes of members, not as its epochs.
 * @throws KmsError `bad-certificate` with the reason
 */
export function verifyLaterEpoch(
  curve: Curve,
  verify: VerifyMessage,
  current: VerifiedKey,
  bytes: Uint8Array,
): VerifiedKey {
  const facts = readFacts(curve, bytes)
  const { epoch, config } = facts.key
  requireSameKey(current, facts.key)
  if (epoch <= current.epoch) refuseCertificate('not of a later epoch')
  if (!equalBytes(configHash(config), configHash(current.config))) refuseCertificate('made by another committee')
  return { ...checkSignatures(verify, facts), trustedBy: 'chain' }
}

type Facts = UnsignedFacts['key']

function requireSameKey(previous: VerifiedKey, key: Facts): void {
  if (key.kind !== 'reshare') refuseCertificate('only a resharing succeeds another certificate')
  const same =
    key.suite === previous.suite &&
    equalBytes(key.config.clusterId, previous.config.clusterId) &&
    key.purpose === previous.purpose &&
    key.keyName === previous.keyName &&
    key.generation === previous.generation &&
    equalBytes(key.keyId, previous.keyId)
  if (!same) refuseCertificate('of another key')
  if (!equalBytes(key.groupKey, previous.groupKey)) refuseCertificate('the group public key changed')
}

function requireStep(key: Facts, prevOutcome: SharingId, oldConfigHash: Uint8Array): void {
  if (key.prevOutcome === undefined || !equalBytes(key.prevOutcome, prevOutcome))
    refuseCertificate('succeeds another sharing')
  if (key.oldConfigHash === undefined || !equalBytes(key.oldConfigHash, oldConfigHash))
    refuseCertificate('dealt by another committee than the one before it')
}

/** Full AUTH is followed automatically, a degraded one only by name (protocol 6). */
function handedOver(verify: VerifyMessage, facts: UnsignedFacts, { acceptDegraded }: SuccessorOptions): VerifiedKey {
  const key = checkSignatures(verify, facts)
  const hash = configHash(key.config)
  if (key.authorization === 'full' || (acceptDegraded !== undefined && equalBytes(hash, acceptDegraded)))
    return { ...key, trustedBy: 'chain' }
  throw dkgError(
    'degraded-certificate',
    `less than a quorum of the old committee authorised epoch ${key.epoch}: whoever knows that its committee is right ` +
      `accepts it by its config hash 0x${bytesKey(hash)}`,
    { data: { configHash: `0x${bytesKey(hash)}`, epoch: key.epoch } },
  )
}
