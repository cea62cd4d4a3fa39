import { concatBytes } from '@noble/hashes/utils.js'
import { decodeAll, MAX_CERTIFICATE_BYTES, type Reader, Secret, type SharingId, u64, u8, varBytes } from '@tkms/dkg'
import { storeError } from '../store/errors.ts'
import type { Reading } from './odometer.ts'

/** The last word on a share that was erased: written before its data key goes, kept for ever (protocol 8). */
export interface Tombstone {
  /** The sharing on whose certificate it was erased. */
  readonly successor: SharingId
  /** Unix milliseconds. */
  readonly erasedAtMs: number
}

/** What a node knows of one certified sharing, beside its share. Public. */
export interface SharingRecord {
  /** CERT, verified before it was put. */
  readonly certificate: Uint8Array
  /** Earlier shares may be erased on its word: false for an attempt that this node gave up by authorizing a higher one (protocol 3). */
  readonly mayErase: boolean
  /** It came from a peer that showed that this disk is behind: shares of earlier epochs answer nothing any more (row 31). */
  readonly refusesEarlier: boolean
  /** When this node first saw the certificate, by the odometer and by the wall clock in Unix milliseconds. */
  readonly seen: Reading
  readonly seenAtMs: number
  readonly tombstone: Tombstone | undefined
}

const VERSION = 1
const MAY_ERASE = 1
const REFUSES_EARLIER = 2
const ERASED = 4

/** u8 1 || var CERT || u8 flags || u64 seen.ranMs || u64 seen.totalMs || u64 seenAtMs || [successor(32) || u64 erasedAtMs], record kind `sharing`. */
export function encodeSharingRecord(record: SharingRecord): Secret {
  const { certificate, mayErase, refusesEarlier, seen, seenAtMs, tombstone } = record
  const flags =
    (mayErase ? MAY_ERASE : 0) | (refusesEarlier ? REFUSES_EARLIER : 0) | (tombstone === undefined ? 0 : ERASED)
  return new Secret(
    concatBytes(
      u8(VERSION),
      varBytes(certificate),
      u8(flags),
      u64(seen.ranMs),
      u64(seen.totalMs),
      u64(seenAtMs),
      ...(tombstone === undefined ? [] : [tombstone.successor, u64(tombstone.erasedAtMs)]),
    ),
  )
}

/** @throws KmsError `bad-encoding`, `store-corrupt` */
export const decodeSharingRecord = (record: Secret): SharingRecord =>
  record.use((bytes) => decodeAll(bytes, 'sharing record', readRecord))

function readRecord(reader: Reader): SharingRecord {
  if (reader.u8('sharing.version') !== VERSION)
    throw storeError('store-corrupt', 'a sharing record is of another version')
  const certificate = reader.var(MAX_CERTIFICATE_BYTES, 'sharing.certificate')
  const flags = reader.u8('sharing.flags')
  const seen = { ranMs: reader.u64('sharing.seen.ranMs'), totalMs: reader.u64('sharing.seen.totalMs') }
  const seenAtMs = reader.u64('sharing.seenAtMs')
  return {
    certificate,
    mayErase: (flags & MAY_ERASE) !== 0,
    refusesEarlier: (flags & REFUSES_EARLIER) !== 0,
    seen,
    seenAtMs,
    tombstone: (flags & ERASED) === 0 ? undefined : readTombstone(reader),
  }
}

const readTombstone = (reader: Reader): Tombstone => ({
  successor: reader.take(32, 'sharing.tombstone.successor') as SharingId,
  erasedAtMs: reader.u64('sharing.tombstone.erasedAtMs'),
})
