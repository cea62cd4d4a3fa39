import { dirname, join } from 'node:path'
import { storeError } from './errors.ts'
import type { FileSystem } from './file-system.ts'

/** A disk in memory that can lose power between any two steps. */
export interface MemoryDisk {
  readonly fileSystem: FileSystem
  /** Steps that change the disk, since it was made. */
  readonly steps: number
  /** Step number `step` (from 0) and every later one fails, as if the power had gone just before it. */
  failFrom(step: number): void
  /**
   * Power is back. `synced`: directory entries that were not synced are lost; `everything`: the disk had written all of it.
   * Bytes of a file are on the disk once it was written.
   */
  restart(survives: 'synced' | 'everything'): void
  /** Takes a copy of the whole disk; what it returns puts that copy back. */
  backup(): () => void
  /** Changes the bytes of a file, or loses it. */
  damage(path: string, change: (bytes: Uint8Array) => Uint8Array | undefined): void
  /** Names of the files in a directory. */
  names(directory: string): readonly string[]
}

export function createMemoryDisk(): MemoryDisk {
  let now = new Map<string, Uint8Array>()
  let synced = new Map<string, Uint8Array>()
  const directories = new Set<string>()
  let steps = 0
  let failsFrom = Number.POSITIVE_INFINITY
  const step = (): void => {
    if (steps++ >= failsFrom) throw storeError('store-io', 'the power is gone')
  }
  const namesIn = (files: ReadonlyMap<string, Uint8Array>, directory: string): string[] =>
    [...files.keys()].filter((path) => dirname(path) === directory).map((path) => path.slice(directory.length + 1))
  const fileSystem: FileSystem = {
    makeDirectory: async (path) => void directories.add(path),
    list: async (directory) => namesIn(now, directory),
    inspect: async (path) => {
      const bytes = now.get(path)
      if (bytes !== undefined) return { kind: 'file', mode: 0o600, own: true, bytes: bytes.length }
      return directories.has(path) ? { kind: 'directory', mode: 0o700, own: true, bytes: 0 } : undefined
    },
    read: async (path) => {
      const bytes = now.get(path)
      if (bytes === undefined) throw storeError('store-io', 'no such file')
      return Uint8Array.from(bytes)
    },
    writeNew: async (path, bytes) => {
      step()
      now.set(path, Uint8Array.from(bytes))
    },
    rename: async (from, to) => {
      step()
      const bytes = now.get(from)
      if (bytes === undefined) throw storeError('store-io', 'no such file')
      now.delete(from)
      now.set(to, bytes)
    },
    unlink: async (path) => {
      step()
      now.delete(path)
    },
    syncDirectory: async (directory) => {
      step()
      for (const name of namesIn(synced, directory)) synced.delete(join(directory, name))
      for (const name of namesIn(now, directory))
        synced.set(join(directory, name), now.get(join(directory, name)) ?? new Uint8Array(0))
    },
  }
  return {
    fileSystem,
    get steps() {
      return steps
    },
    failFrom: (from) => {
      failsFrom = from
    },
    restart: (survives) => {
      failsFrom = Number.POSITIVE_INFINITY
      if (survives === 'synced') now = new Map(synced)
      else synced = new Map(now)
    },
    backup: () => {
      const copy = new Map(now)
      return () => {
        now = new Map(copy)
        synced = new Map(copy)
      }
    },
    damage: (path, change) => {
      const bytes = now.get(path)
      const changed = bytes && change(bytes)
      for (const files of [now, synced]) {
        if (changed === undefined) files.delete(path)
        else files.set(path, changed)
      }
    },
    names: (directory) => namesIn(now, directory),
  }
}
