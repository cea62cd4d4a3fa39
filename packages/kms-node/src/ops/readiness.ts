import { join } from 'node:path'
import { bytesToHex } from '@noble/hashes/utils.js'
import { isKmsError } from '../errors.ts'
import type { Clock, Rng } from '../ports.ts'
import type { KeyDirectory } from '../keys/key-directory.ts'
import type { FileSystem } from '../store/file-system.ts'
import type { Drain } from './drain.ts'

/** One look at the disk answers for this long, so that asking often costs nothing. */
const PROBE_MS = 5_000

/** `GET /ready`: whether this node serves a key and can still write, its audit log above all. Never whether its peers are there: one node serves alone. */
export interface Readiness {
  /** Empty when ready; otherwise fixed words: `stopping`, `starting` or `no-key`, the code of the storage error, `audit-unavailable`. */
  problems(): Promise<readonly string[]>
  /** Why the store takes no bytes: the code of the storage error. */
  storage(): Promise<string | undefined>
}

/** Whether releases can be recorded. */
export interface AuditState {
  /** The code of what keeps them from being recorded. */
  problem(): string | undefined
}

export function createReadiness(ports: {
  readonly drain: Pick<Drain, 'problem'>
  readonly keys: Pick<KeyDirectory, 'problem'>
  readonly audit: AuditState
  readonly fileSystem: FileSystem
  /** The store's directory. */
  readonly directory: string
  readonly clock: Clock
  readonly rng: Rng
}): Readiness {
  const { fileSystem, clock } = ports
  let last: { readonly atMs: number; readonly problem: Promise<string | undefined> } | undefined

  const probe = async (): Promise<string | undefined> => {
    const path = join(ports.directory, `probe-${bytesToHex(ports.rng.bytes(8))}.tmp`)
    try {
      try {
        await fileSystem.writeNew(path, new Uint8Array(1))
      } finally {
        // A full disk lets a file be made and not written.
        if ((await fileSystem.inspect(path)) !== undefined) await fileSystem.unlink(path)
      }
      return undefined
    } catch (error) {
      if (isKmsError(error)) return error.code
      throw error
    }
  }

  const storage = (): Promise<string | undefined> => {
    if (last === undefined || clock.monotonicMs() - last.atMs >= PROBE_MS)
      last = { atMs: clock.monotonicMs(), problem: probe() }
    return last.problem
  }

  return {
    storage,
    async problems() {
      const stored = await storage()
      const keys = ports.keys.problem()
      const audit = ports.audit.problem() === undefined ? undefined : 'audit-unavailable'
      return [ports.drain.problem(), keys, stored, audit].filter((problem) => problem !== undefined)
    },
  }
}
