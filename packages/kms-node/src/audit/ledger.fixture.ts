import { randomBytes } from 'node:crypto'
import type { AuditRelease, KeyId, PointBytes, SharingId } from '@tkms/dkg'
import type { Clock } from '../ports.ts'
import type { ReleaseEntry } from '../serve/release-ledger.ts'
import { createAuditDatabase } from './database.ts'
import { createLedger, type Ledger, type LedgerOptions } from './ledger.ts'
import { createLogKey, type LogKey } from './log-key.ts'

/** Of logs without a sealed store. */
export const testLogKey: LogKey = createLogKey(new Uint8Array(32).fill(7))

/** The real ledger over a database without a file. */
export const memoryLedger = (clock: Clock, overrides: Partial<LedgerOptions> = {}): Ledger =>
  createLedger({
    database: createAuditDatabase(':memory:', { count: 0, hash: new Uint8Array(32) }, testLogKey),
    clock,
    limits: { replayEntries: 1000, replayEntriesPerRequester: 1000 },
    isBlocked: () => false,
    onProblem: () => undefined,
    onAppended: () => undefined,
    ...overrides,
  })

const bytes32 = (value: number): Uint8Array => new Uint8Array(32).fill(value)
/** Two requesters. */
export const alice: string = `ed25519:${'ab'.repeat(32)}`
export const bob: string = `ed25519:${'cd'.repeat(32)}`

/** A release to alice of one item, under a request id of its own. @param expiresAt Unix seconds @param address whence it came */
export function releaseEntry(
  changes: Partial<AuditRelease> = {},
  expiresAt = 1_800_000_300,
  address = '192.0.2.1',
): ReleaseEntry {
  const release: AuditRelease = {
    kind: 'release',
    keyId: bytes32(1) as KeyId,
    sharingId: bytes32(2) as SharingId,
    epoch: 0,
    requestHash: bytes32(3),
    requester: alice,
    recipientSpkiHash: bytes32(4),
    items: [{ chainId: 0, handle: bytes32(5), K: new Uint8Array(33).fill(2) as PointBytes, outcome: 'released' }],
    rules: ['owner'],
    grants: [],
    ...changes,
  }
  return { release, requestId: new Uint8Array(randomBytes(32)), address, expiresAt, holds: () => true }
}
