import {
  type Curve,
  checkCertificate,
  equalBytes,
  fullerCertificate,
  type NodePublicKey,
  quorum,
  readCertificateFacts,
  type VerifiedKey,
  type VerifyMessage,
} from '@tkms/dkg'
import type { SharingFacts } from './life.ts'
import type { Reading } from './odometer.ts'
import type { SharingRecord } from './sharing-record.ts'

/** One certified sharing as this node knows it. */
export interface KnownSharing extends Omit<SharingFacts, 'isEstablished'> {
  readonly key: VerifiedKey
  readonly record: SharingRecord
  /** There is a record of its share that does not open, or a share in it that does not hold: kept aside until it is repaired or erased. */
  readonly damaged: boolean
}

export interface RecallPorts {
  readonly curve: Curve
  readonly verify: VerifyMessage
  /** This node's identity. */
  readonly self: NodePublicKey
}

/**
 * A certificate that this node verified, through its chain, before it put it into its sealed store. Read without its signatures.
 * @throws KmsError `bad-certificate`
 */
export function recallKey({ curve }: Pick<RecallPorts, 'curve'>, certificate: Uint8Array): VerifiedKey {
  const facts = readCertificateFacts(curve, certificate)
  const { spec, authorizations } = facts.certificate
  const strength =
    spec.kind === 'keygen' ? 'none' : authorizations.length >= quorum(spec.oldConfig) ? 'full' : 'degraded'
  return { ...facts.key, authorization: strength, trustedBy: 'chain' }
}

/** The same with every signature, for the certificates that this node serves under. @throws KmsError `bad-certificate` */
export const recheckKey = ({ curve, verify }: RecallPorts, certificate: Uint8Array): VerifiedKey => ({
  ...checkCertificate(curve, verify, certificate),
  trustedBy: 'chain',
})

/**
 * A known sharing by a certificate with the full AUTH that its own one lacks: whoever assembled that one may have left some out.
 * @returns undefined where it adds nothing @throws KmsError `bad-certificate`
 */
export function fullerKey(
  { curve, verify }: Pick<RecallPorts, 'curve' | 'verify'>,
  { key }: Pick<KnownSharing, 'key'>,
  certificate: Uint8Array,
): VerifiedKey | undefined {
  if (key.authorization !== 'degraded') return undefined
  const fuller = fullerCertificate(curve, verify, key.certificate, certificate)
  return fuller && { ...fuller, trustedBy: key.trustedBy }
}

export function knownSharing(
  { self }: Pick<RecallPorts, 'self'>,
  input: {
    readonly key: VerifiedKey
    readonly record: SharingRecord
    readonly hasShare: boolean
    readonly damaged: boolean
  },
): KnownSharing {
  const { key, record, hasShare, damaged } = input
  return {
    key,
    record,
    damaged,
    hasShare,
    epoch: key.epoch,
    attempt: key.attempt,
    isMember: key.config.members.some(({ publicKey }) => equalBytes(publicKey, self)),
    erased: record.tombstone !== undefined,
    mayErase: record.mayErase,
    refusesEarlier: record.refusesEarlier,
    seen: record.seen,
  }
}

/** Whether this node's own vote or commit is in a certificate that was verified. */
export function isSignedBy({ curve, self }: Pick<RecallPorts, 'curve' | 'self'>, certificate: Uint8Array): boolean {
  const { spec, votes, laterVotes, commits } = readCertificateFacts(curve, certificate).certificate
  const own = spec.newConfig.members.find(({ publicKey }) => equalBytes(publicKey, self))
  return own !== undefined && [...votes, ...laterVotes, ...commits].some(({ index }) => index === own.index)
}

/** The record of a certificate that is seen now. */
export const newRecord = (
  certificate: Uint8Array,
  seen: { readonly reading: Reading; readonly atMs: number },
  word: Pick<SharingRecord, 'mayErase' | 'refusesEarlier'>,
): SharingRecord => ({
  certificate,
  ...word,
  seen: seen.reading,
  seenAtMs: Math.max(0, Math.floor(seen.atMs)),
  tombstone: undefined,
})
