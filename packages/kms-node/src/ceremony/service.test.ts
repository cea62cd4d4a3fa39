import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  ceremonyId,
  encodeSpec,
  type KeygenSpec,
  nobleCurve,
  participantIndex,
  PROTOCOL_TIMINGS,
  Secret,
} from '@tkms/dkg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { describeProposal } from '../cli/describe-ceremony.ts'
import { createSigner } from '../identity/ed25519-signer.ts'
import { testCluster } from '../net/test-hosts.fixture.ts'
import type { RecordStore } from '../ports.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { systemClock, systemRng } from '../system.ts'
import { saveArchive } from './archive.ts'
import { type CeremonyService, createCeremonyService } from './service.ts'
import { openSlotBook } from './slot-book.ts'

const cluster = testCluster(4, [])
const two = participantIndex(2)
const specOf = (generation: number, lifetimeS = 3600): KeygenSpec => ({
  kind: 'keygen',
  suite: 1,
  clusterId: cluster.config.clusterId,
  purpose: 'ecies-dec',
  keyName: 'ecies/1',
  generation,
  epoch: 0,
  attempt: 0,
  newConfig: cluster.config,
  notAfter: Math.floor(systemClock.nowMs() / 1000) + lifetimeS,
})

let directory: string
let started: unknown[]
let service: CeremonyService
let store: RecordStore

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-service-'))
  started = []
  store = memoryStore()
  service = await createService()
})

async function createService(): Promise<CeremonyService> {
  const log = (fields: Readonly<Record<string, unknown>>, event: string): void => {
    if (event === 'ceremony-started') started.push(fields['ceremony'])
  }
  return createCeremonyService({
    cluster,
    self: participantIndex(1),
    timings: PROTOCOL_TIMINGS,
    identity: new Secret(new Uint8Array(32).fill(1)),
    nodeSeed: new Secret(new Uint8Array(32).fill(2)),
    store,
    slots: await openSlotBook(store),
    network: {
      send: () => false,
      broadcast: () => {},
      connected: [],
      setPeers: () => {},
      addPeers: () => {},
      start: async () => {},
      stop: async () => {},
    },
    clock: systemClock,
    rng: systemRng,
    log: { info: log, warn: log, error: log },
    evidenceDirectory: join(directory, 'evidence'),
    sign: createSigner(new Secret(new Uint8Array(32).fill(1))),
    curve: nobleCurve,
    keys: {
      list: () => [],
      find: () => undefined,
      copyShare: () => undefined,
      install: () => Promise.reject(new Error('nothing is certified here')),
      learn: async () => undefined,
    },
    addressBook: { nodes: () => cluster.nodes, add: async () => {} },
    dataDir: directory,
  })
}

afterEach(async () => {
  await service.stop()
  await rm(directory, { recursive: true, force: true })
})

const propose = (spec: KeygenSpec): string => {
  service.onFrame(two, { type: 'proposal', spec: encodeSpec(spec), nodes: [] })
  return Buffer.from(ceremonyId(spec)).toString('hex')
}

test('a ceremony that is approved twice at once runs once', async () => {
  const id = propose(specOf(1))
  const [first, second] = await Promise.all([service.approve(id), service.approve(id)])
  expect(second.ceremony).toBe(first.ceremony)
  expect(started).toEqual([first.ceremony])
})

test('of two rival ceremonies for one slot that are approved at once only the first is', async () => {
  const ids = [propose(specOf(1, 3600)), propose(specOf(1, 7200))]
  const results = await Promise.allSettled(ids.map((id) => service.approve(id)))
  expect(results).toMatchObject([
    { status: 'fulfilled', value: { ceremony: `0x${ids[0]}` } },
    { status: 'rejected', reason: { code: 'slot-other-approved' } },
  ])
  expect(started).toEqual([`0x${ids[0]}`])
})

test('an approval that fails half-way leaves one ceremony, which is found, approved and given up', async () => {
  const id = propose(specOf(1))
  const { put } = store
  let slotWrites = 0
  store.put = (kind, record, bytes) =>
    record.endsWith('.slot') && ++slotWrites === 2 ? Promise.reject(new Error('ENOSPC')) : put(kind, record, bytes)
  await expect(service.approve(id)).rejects.toThrow('ENOSPC')
  store.put = put
  expect(service.list()).toHaveLength(1)
  expect(await service.approve(id)).toMatchObject({ ceremony: `0x${id}` })
  expect(await service.abandon(id)).toMatchObject({ stage: 'left' })
})

test('an approval that fails erases only the imported key that came with it', async () => {
  const kept = async (): Promise<number> =>
    (await store.list('ceremony')).filter((record) => record.endsWith('.import')).length
  const input = { kind: 'import', purpose: 'ecies-dec' } as const
  const keyOf = (fill: number): Secret => new Secret(new Uint8Array(32).fill(fill))
  const { ceremony } = await service.propose({ ...input, keyName: 'ecies/old', key: keyOf(7) })
  const { put } = store
  store.put = (kind, record, bytes) =>
    record.endsWith('.slot') ? Promise.reject(new Error('ENOSPC')) : put(kind, record, bytes)
  await expect(service.approve(ceremony, { degraded: true })).rejects.toThrow('ENOSPC')
  expect(await kept()).toBe(1)
  await expect(service.propose({ ...input, keyName: 'ecies/other', key: keyOf(8) })).rejects.toThrow('ENOSPC')
  expect(await kept()).toBe(1)
})

test('what is approved while the node stops does not begin', async () => {
  const [first, second] = [propose(specOf(1)), propose(specOf(2))]
  const results = await Promise.allSettled([service.approve(first), service.stop(), service.approve(second)])
  expect(results).toMatchObject([{ status: 'fulfilled' }, {}, { status: 'rejected', reason: { code: 'stopping' } }])
  expect(started).toEqual([`0x${first}`])
})

test('a member that proposes the last generation does not use up the numbers', async () => {
  propose(specOf(0xffffffff))
  propose(specOf(1))
  expect(await service.propose({ kind: 'keygen', keyName: 'ecies/1', purpose: 'ecies-dec' })).toMatchObject({
    generation: 2,
  })
})

test('a decided ceremony whose key does not load is never begun afresh', async () => {
  const spec = specOf(1)
  await (await openSlotBook(store)).approve(spec, 'plain')
  await saveArchive(store, ceremonyId(spec), { certificate: Uint8Array.of(1), dealings: [] })
  service = await createService()
  await service.start()
  expect(service.list()).toMatchObject([{ stage: 'failed' }])
  expect(started).toEqual([])
})

test('a rival that was given up here is in the way until a quorum did, and the refusal says so', async () => {
  const [first, second] = [propose(specOf(1, 3600)), propose(specOf(1, 7200))]
  await service.approve(first)
  await expect(service.approve(second)).rejects.toMatchObject({
    code: 'slot-other-approved',
    message: expect.stringContaining(`ceremony abandon 0x${first.slice(0, 16)} first`) as unknown,
  })
  await service.abandon(first)
  await vi.waitFor(() => expect(service.find(first)).toMatchObject({ phase: 'leaving' }), 10_000)
  await expect(service.approve(second)).rejects.toMatchObject({
    message: expect.stringContaining('given up here, but not yet by a quorum (0 of 3)') as unknown,
  })
})

test('one ceremony that is asked for shows the keys, addresses and hash of its committee', () => {
  const id = propose(specOf(1))
  const status = service.find(id)
  const [node] = cluster.nodes
  expect(status.committee?.configHash).toBe(`0x${Buffer.from(cluster.configHash).toString('hex')}`)
  expect(status.committee?.members[0]).toEqual({
    index: 1,
    name: node?.name,
    ed25519: `0x${Buffer.from(node?.publicKey ?? []).toString('hex')}`,
    url: node?.url,
    multiaddrs: node?.multiaddrs,
    joins: false,
  })
  expect(service.list()[0]?.committee).toBeUndefined()
  const shown = describeProposal(status).join('\n')
  for (const { ed25519, url } of status.committee?.members ?? []) expect(shown).toContain(`${ed25519} ${url}`)
  expect(shown).toContain(`committee hash ${status.committee?.configHash}`)
})
