import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { KmsError, nobleCurve, Secret } from '@tkms/dkg'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { clusterId, nodeSigner, rng } from '../serve/pipeline.fixture.ts'
import type { KeyDirectory } from '../keys/key-directory.ts'
import { createLog, logDelegation } from './log.ts'
import { type FileSystem, nodeFileSystem } from '../store/file-system.ts'
import { createReadiness } from './readiness.ts'
import { createStatus } from './status.ts'

let problem: ReturnType<KeyDirectory['problem']> = 'no-key'
const keys = { list: () => [], get: () => undefined, chain: () => undefined, problem: () => problem }

describe('log', () => {
  it('prints no secret, and errors by code', () => {
    const lines: string[] = []
    const log = createLog({ level: 'info', node: 'alice', destination: { write: (line) => lines.push(line) } })
    const cause = new KmsError('disk-full', 'the disk is full', {
      data: { n: 1 },
      cause: new KmsError('store-io', 'inner'),
    })
    log.info({ share: Secret.copyOf(Buffer.from('plain share')) }, 'hello')
    logDelegation(log, { remote: 'r', outcome: 'internal', durationMs: 1, cause })
    logDelegation(log, { remote: 'r', outcome: 'not-allowed', durationMs: 1, reason: 'owner:not-named' })
    expect(lines.join('')).not.toContain('plain share')
    const [first, second, third] = lines.map((line) => JSON.parse(line) as object)
    expect(first).toMatchObject({ node: 'alice', share: '[redacted]' })
    expect(second).toMatchObject({
      level: 50,
      cause: { code: 'disk-full', data: { n: 1 }, cause: { code: 'store-io' } },
    })
    expect(third).toMatchObject({ level: 30, outcome: 'not-allowed' })
  })
})

describe('readiness', () => {
  it('needs a key and a disk that takes bytes, and looks at the disk now and then', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tkms-ready-'))
    let nowMs = 0
    const clock = { nowMs: () => 0, monotonicMs: () => nowMs }
    let writes: string | undefined
    const audit = { problem: () => writes }
    let stopping: 'stopping' | undefined
    const drain = { problem: () => stopping }
    const ports = { drain, keys, audit, fileSystem: nodeFileSystem, clock, rng }
    const readiness = createReadiness({ ...ports, directory })
    expect(await readiness.problems()).toEqual(['no-key'])
    problem = 'starting'
    expect(await readiness.problems()).toEqual(['starting'])
    problem = undefined
    expect(await readiness.problems()).toEqual([])
    writes = 'disk-full'
    expect(await readiness.problems()).toEqual(['audit-unavailable'])
    writes = undefined
    stopping = 'stopping'
    expect(await readiness.problems()).toEqual(['stopping'])
    stopping = undefined
    expect(await readdir(directory)).toEqual([])
    await rm(directory, { recursive: true })
    expect(await readiness.problems()).toEqual([])
    nowMs = 5_000
    expect(await readiness.problems()).toEqual(['store-io'])
  })
})

describe('readiness on a full disk', () => {
  it('leaves nothing of its probe behind', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tkms-ready-'))
    const writeNew: FileSystem['writeNew'] = async (path) => {
      await nodeFileSystem.writeNew(path, new Uint8Array(0))
      throw new KmsError('disk-full', 'the disk is full')
    }
    const clock = { nowMs: () => 0, monotonicMs: () => 0 }
    const fileSystem = { ...nodeFileSystem, writeNew }
    const readiness = createReadiness({
      drain: { problem: () => undefined },
      keys,
      audit: { problem: () => undefined },
      fileSystem,
      directory,
      clock,
      rng,
    })
    expect(await readiness.problems()).toContain('disk-full')
    expect(await readdir(directory)).toEqual([])
    await rm(directory, { recursive: true })
  })
})

describe('status', () => {
  it('shows the public posture', () => {
    const clock = { nowMs: () => 7_000, monotonicMs: () => 0 }
    const { publicKey } = nodeSigner
    const ports = {
      version: '1',
      code: undefined,
      clusterId,
      publicKey,
      name: 'alice',
      profile: 'production',
      sealing: 'passphrase',
      curve: nobleCurve,
    }
    let writes: string | undefined = 'audit-io'
    const audit = { problem: () => writes }
    const status = createStatus({
      ...ports,
      keys,
      attestation: () => ({ provider: 'tdx', expiresMs: 5_999, refused: 'expired' }),
      pipeline: { underWay: 3 },
      audit,
      clock,
    })
    expect(status().audit).toEqual({ recording: false, problem: 'audit-io' })
    writes = undefined
    expect(status()).toMatchObject({
      curve: 'noble',
      time: 7,
      requestsUnderWay: 3,
      attestation: { provider: 'tdx', expires: 5, refused: 'expired' },
      audit: { recording: true },
      keys: [],
    })
  })
})
