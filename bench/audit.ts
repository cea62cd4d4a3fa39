import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KeyId, PointBytes, SharingId } from '@tkms/dkg'
import {
  createAuditDatabase,
  createLedger,
  createLogKey,
  type Ledger,
  type LedgerOptions,
  type ReleaseEntry,
  systemClock,
} from '@tkms/kms-node/serve'
import { percentile } from './statistics.ts'

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length))
const base = { count: 0, hash: new Uint8Array(32) }
const key = createLogKey(random(32))

const openLedger = (database: LedgerOptions['database']): Ledger =>
  createLedger({
    database,
    clock: systemClock,
    limits: { replayEntries: 1_000_000, replayEntriesPerRequester: 1_000_000 },
    isBlocked: () => false,
    onProblem: (code) => {
      throw new Error(`the audit log cannot be written: ${code ?? 'it can again'}`)
    },
    onAppended: () => undefined,
  })

/** The real ledger, without a file. */
export const memoryLedger = (): Ledger => openLedger(createAuditDatabase(':memory:', base, key))

/** The real ledger, in a new file. */
export const fileLedger = (path: string): Ledger => openLedger(createAuditDatabase(path, base, key))

function randomEntry(): ReleaseEntry {
  const K = random(33).fill(2, 0, 1) as PointBytes
  return {
    requestId: random(32),
    address: '192.0.2.1',
    holds: () => true,
    expiresAt: Math.floor(Date.now() / 1000) + 300,
    release: {
      kind: 'release',
      keyId: random(32) as KeyId,
      sharingId: random(32) as SharingId,
      epoch: 1,
      requestHash: random(32),
      requester: `ed25519:${Buffer.from(random(32)).toString('hex')}`,
      recipientSpkiHash: random(32),
      items: [{ chainId: 421_614, handle: random(32), K, outcome: 'released' }],
      rules: ['owner'],
      grants: [],
    },
  }
}

export interface AuditCost {
  /** A release of one item that waits for nobody: until it is synced. */
  readonly alone_us: number
  readonly alone_p99_us: number
  /** The same per release, when 64 come together. */
  readonly concurrent64_us: number
  /** The file's growth, remembered requests included. */
  readonly bytes_per_release: number
}

/** What recording costs on the disk of the temporary directory. */
export async function benchAudit(options: { readonly releases: number }): Promise<AuditCost> {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-bench-audit-'))
  const path = join(directory, 'audit.db')
  const ledger = fileLedger(path)
  const record = async (entry: ReleaseEntry): Promise<void> => {
    const outcome = await ledger.record(entry)
    if (outcome !== 'recorded') throw new Error(`a release was not recorded: ${outcome}`)
  }
  try {
    const { size: before } = await stat(path)
    const alone: number[] = []
    for (const entry of Array.from({ length: 500 }, randomEntry)) {
      const startMs = performance.now()
      await record(entry)
      alone.push((performance.now() - startMs) * 1000)
    }
    const groups = Math.ceil((options.releases - alone.length) / 64)
    let concurrentMs = 0
    for (let group = 0; group < groups; group++) {
      const entries = Array.from({ length: 64 }, randomEntry)
      const startMs = performance.now()
      await Promise.all(entries.map(record))
      concurrentMs += performance.now() - startMs
    }
    const releases = alone.length + groups * 64
    ledger.close()
    return {
      alone_us: Math.round(percentile(alone, 0.5)),
      alone_p99_us: Math.round(percentile(alone, 0.99)),
      concurrent64_us: Math.round((concurrentMs * 1000) / (groups * 64)),
      bytes_per_release: Math.round(((await stat(path)).size - before) / releases),
    }
  } finally {
    ledger.close()
    await rm(directory, { recursive: true })
  }
}
