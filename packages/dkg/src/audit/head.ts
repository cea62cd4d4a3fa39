import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, u16, u64, u8 } from '../primitives/codec.ts'
import { type SignMessage, signTagged, type VerifyMessage, verifyTagged } from '../primitives/ed25519.ts'
import { taggedHash } from '../primitives/hash.ts'
import { id32, participantIndex } from '../primitives/point.ts'
import type { ClusterId, NodePublicKey, ParticipantIndex } from '../primitives/types.ts'

/** Whose log it is. */
export interface AuditOwner {
  readonly clusterId: ClusterId
  readonly index: ParticipantIndex
  readonly publicKey: NodePublicKey
}

/** How far a log has got: the state that all its records so far lead to. */
export interface AuditHead {
  readonly clusterId: ClusterId
  readonly index: ParticipantIndex
  /** Records so far: the sequence number of the next one. */
  readonly count: number
  /** The chain's hash after them, 32 bytes. */
  readonly hash: Uint8Array
  /** Unix seconds of the signature. */
  readonly time: number
}

/** u8 1 || clusterId || u16 index || u64 count || hash || u64 time. */
export const AUDIT_HEAD_BYTES: number = 1 + 32 + 2 + 8 + 32 + 8

/** A head with its node's word for it. */
export interface SignedAuditHead {
  /** `encodeAuditHead`. */
  readonly head: Uint8Array
  /** sig("audit-head", head), 64 bytes. */
  readonly signature: Uint8Array
}

/** What the first record of a node's log is chained to: TH("audit-genesis", clusterId || u16 index || ed25519(32)), 32 bytes. */
export const auditGenesis = ({ clusterId, index, publicKey }: AuditOwner): Uint8Array =>
  taggedHash('audit-genesis', id32(clusterId, 'audit.clusterId'), u16(index), publicKey)

/** hash_i = TH("audit", hash_(i-1) || record_i), 32 bytes. @param record as encoded */
export const auditHash = (previous: Uint8Array, record: Uint8Array): Uint8Array =>
  taggedHash('audit', id32(previous, 'audit.previous'), record)

/** u8 1 || clusterId || u16 index || u64 count || hash(32) || u64 time. @throws KmsError `bad-encoding` */
export const encodeAuditHead = (head: AuditHead): Uint8Array =>
  concatBytes(
    u8(1),
    id32(head.clusterId, 'auditHead.clusterId'),
    u16(head.index),
    u64(head.count),
    id32(head.hash, 'auditHead.hash'),
    u64(head.time),
  )

/** Strict; nothing is verified. @throws KmsError `bad-encoding`, `bad-index` */
export const decodeAuditHead = (bytes: Uint8Array): AuditHead =>
  decodeAll(bytes, 'auditHead', (reader) => {
    if (reader.u8('auditHead.version') !== 1)
      throw dkgError('bad-encoding', 'auditHead.version is not 1', { data: { field: 'auditHead.version' } })
    return {
      clusterId: id32<ClusterId>(reader.take(32, 'auditHead.clusterId'), 'auditHead.clusterId'),
      index: participantIndex(reader.u16('auditHead.index')),
      count: reader.u64('auditHead.count'),
      hash: reader.take(32, 'auditHead.hash'),
      time: reader.u64('auditHead.time'),
    }
  })

/** The node's word for its log so far. */
export function signAuditHead(sign: SignMessage, head: AuditHead): SignedAuditHead {
  const bytes = encodeAuditHead(head)
  return { head: bytes, signature: signTagged(sign, 'audit-head', bytes) }
}

/** Whether this node signed it. Whose index it names is the caller's business. */
export const verifyAuditHead = (
  verify: VerifyMessage,
  publicKey: NodePublicKey,
  { head, signature }: SignedAuditHead,
): boolean => verifyTagged(verify, publicKey, 'audit-head', head, signature)
