import { bytesKey, type ClusterNode, KmsError } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import type { NodeConfig } from '../../config/types.ts'
import { rng, verifiedKey } from '../../serve/pipeline.fixture.ts'
import { type FileSystem, nodeFileSystem } from '../../store/file-system.ts'
import { judgePeerProofs, judgePeerSealing, judgeProof } from './attestation-checks.ts'
import { judgeSealing, judgeStorage } from './own-checks.ts'
import { askPeer, judgeAnswer, judgeVersions, type PeerAnswer, type PeerStatus, skewSeconds } from './peer-answers.ts'
import { judgeHosts, systemResolve } from './shared-hosts.ts'

const nodes: readonly ClusterNode[] = verifiedKey().config.members.map((member) => ({
  ...member,
  name: `node-${member.index}`,
  url: `https://10.0.0.${member.index}:7443/`,
  multiaddrs: [`/ip4/10.0.0.${member.index}/tcp/7001`],
}))
const [first] = nodes
if (first === undefined) throw new Error('a committee has members')
const CLUSTER = `0x${'ab'.repeat(32)}`
const status: PeerStatus = {
  version: '1.0.0',
  ed25519: `0x${bytesKey(first.publicKey)}`,
  clusterId: CLUSTER,
  profile: 'production',
  sealing: 'tpm2',
  time: 1_000,
  audit: { recording: true },
}
const answer = (changed: Partial<PeerStatus> = {}): PeerAnswer => ({
  status: { ...status, ...changed },
  sentMs: 1_000_500,
  receivedMs: 1_001_200,
})
const levels = (changed: Partial<PeerStatus>): readonly string[] =>
  judgeAnswer(first, answer(changed), { clusterId: CLUSTER })
    .filter(({ level }) => level !== 'ok')
    .map(({ check, level }) => `${check} ${level}`)

describe('the answer of a node', () => {
  it('tells its clock no better than it was measured', () => {
    expect([998, 999, 1_000, 1_001, 1_002].map((time) => skewSeconds(answer({ time })))).toEqual([-2, -1, 0, 0, 1])
  })

  it('warns of a clock that drifts, and fails one that requests would suffer from', () => {
    expect(levels({})).toEqual([])
    expect(levels({ time: 1_006 })).toEqual([])
    expect(levels({ time: 1_007 })).toEqual(['clock warning'])
    expect(levels({ time: 970 })).toEqual(['clock warning'])
    expect(levels({ time: 969 })).toEqual(['clock failure'])
  })

  it('fails another identity, another cluster, and a log that cannot be written', () => {
    expect(levels({ ed25519: `0x${'00'.repeat(32)}` })).toEqual(['identity failure'])
    expect(levels({ clusterId: `0x${'00'.repeat(32)}` })).toEqual(['identity failure'])
    expect(levels({ audit: { recording: false, problem: 'disk-full' } })).toEqual(['audit failure'])
  })

  it('is asked once, with a bound, under its pin, and what is no status is none', async () => {
    const asked: unknown[] = []
    const reply = (body: string, code = 200) =>
      askPeer(
        { ...first, tlsSpkiSha256: Uint8Array.of(7) },
        {
          clock: { nowMs: () => 5, monotonicMs: () => 0 },
          timeoutMs: 1_000,
          get: async ({ signal: _signal, ...request }) => {
            asked.push(request)
            return { status: code, body: new TextEncoder().encode(body) }
          },
        },
      )
    expect(await reply(JSON.stringify({ ...status, more: 1 }))).toMatchObject({
      status: { version: '1.0.0' },
      sentMs: 5,
    })
    const url = `https://10.0.0.${first.index}:7443/v1/status`
    expect(asked).toEqual([{ url, method: 'GET', maxReplyBytes: 16_777_216, tlsSpkiSha256: Uint8Array.of(7) }])
    expect(await reply('{}')).toBe('answers /v1/status with something else')
    expect(await reply('<html>')).toBe('answers /v1/status with something else')
    expect(await reply('{}', 429)).toBe('answers /v1/status with 429')
  })
})

describe('proofs of code', () => {
  const DAY_MS = 86_400_000
  const nowMs = 100 * DAY_MS
  const said = (attestation: PeerStatus['attestation'], requirePeers = false): readonly string[] =>
    judgeProof(first, { attestation }, { wanted: { requirePeers, warnDays: 14 }, nowMs }).map(
      ({ check, level, detail }) => `${check} ${level}: ${detail}`,
    )
  const until = (days: number): number => (nowMs + days * DAY_MS) / 1000

  it('are as a node says of its own: for how long they hold, or why they do not', () => {
    expect(said(undefined)).toEqual([])
    expect(said({ provider: 'none' })).toEqual(['attestation ok: proves nothing, and nobody here wants it to'])
    expect(said({ provider: 'none' }, true)).toEqual([expect.stringMatching(/^attestation failure: proves nothing/)])
    const days = [14, 13, -1].flatMap((left) => said({ provider: 'tdx', expires: until(left) }))
    expect(days).toEqual([
      'attestation ok: its proof holds for 14 days',
      'attestation warning: its proof ends in 13 days',
      'attestation failure: its proof has expired',
    ])
    expect(said({ provider: 'tdx', refused: 'debug', expires: until(30) })).toEqual([
      'attestation failure: would refuse its own quote: debug',
    ])
    expect(said({ provider: 'tdx', refused: 'collateral' })).toEqual([expect.stringMatching(/^attestation warning/)])
    expect(said({ provider: 'tdx' })).toEqual([expect.stringMatching(/^attestation warning: has not judged/)])
  })

  it('of peers are as this node found them', () => {
    const states = [
      { peer: 'bob', state: 'proven', expiresMs: nowMs + 20 * DAY_MS },
      { peer: 'carol', state: 'proven', expiresMs: nowMs + DAY_MS },
      { peer: 'dave', state: 'refused', reason: 'measurement' },
      { peer: 'erin', state: 'expired', kept: true },
      { peer: 'frank', state: 'unproven' },
    ] as const
    const found = judgePeerProofs(states, { warnDays: 14, nowMs })
    expect(found.map(({ node, level, detail }) => `${node} ${level}: ${detail}`)).toEqual([
      'bob ok: its proof holds for 20 days',
      'carol warning: its proof ends in 1 days',
      'dave failure: its proof is refused here: measurement',
      'erin failure: its proof has expired, and it stays by the floor alone',
      'frank warning: is not connected, so it has proven nothing here',
    ])
    for (const { level, remedy } of found) expect(remedy === undefined).toBe(level === 'ok')
  })

  it('come with what seals the stores of others', () => {
    const sealing = (changed: Partial<PeerStatus>): string => judgePeerSealing(first, { ...status, ...changed }).level
    expect(sealing({})).toBe('ok')
    expect(sealing({ profile: 'development' })).toBe('warning')
    expect(sealing({ sealing: 'kms-file' })).toBe('warning')
  })
})

it('versions are compared with that of most nodes, the code with the version', () => {
  const of = (...versions: readonly Partial<PeerStatus>[]) =>
    judgeVersions(versions.map((changed) => ({ node: first, answer: answer(changed) }))).map(({ level }) => level)
  expect(of({}, {}, {})).toEqual(['ok', 'ok', 'ok'])
  expect(of({ version: '0.9.0' }, {}, {})).toEqual(['warning', 'ok', 'ok'])
  expect(of({}, {}, { codeHash: '0x0123456789' })).toEqual(['ok', 'ok', 'warning'])
})

it('nodes that share an address are named, also when only their names lead there', async () => {
  const names: Readonly<Record<string, string>> = { 'a.example': '10.0.0.9', 'b.example': '10.0.0.9' }
  const resolve = async (host: string): Promise<readonly string[]> => [names[host] ?? host]
  expect((await judgeHosts(nodes, resolve)).map(({ level }) => level)).toEqual(nodes.map(() => 'ok'))
  const [one, other, ...rest] = nodes
  if (one === undefined || other === undefined) throw new Error('two members')
  const moved = [{ ...one, url: 'https://a.example' }, { ...other, multiaddrs: ['/dns4/b.example/tcp/1'] }, ...rest]
  const found = await judgeHosts(moved, resolve)
  expect(found.map(({ level }) => level)).toEqual(['warning', 'warning', ...rest.map(() => 'ok')])
  expect(found[0]?.detail).toBe(`shares 10.0.0.9 with ${other.name}`)
  expect(await systemResolve(1_000)('10.1.2.3')).toEqual(['10.1.2.3'])
})

describe('this machine', () => {
  const config = { name: 'alice', dataDir: import.meta.dirname } as NodeConfig

  it('fails a store that takes no bytes, and leaves nothing behind', async () => {
    const fileSystem: FileSystem = {
      ...nodeFileSystem,
      writeNew: async () => {
        throw new KmsError('disk-full', 'the disk is full')
      },
    }
    const [store, disk] = await judgeStorage(config, { fileSystem, rng })
    expect(store).toMatchObject({ level: 'failure', detail: expect.stringContaining('disk-full') as unknown })
    expect(disk?.check).toBe('disk')
  })

  it('warns of a store sealed for development', () => {
    const sealer = { provider: 'passphrase', scryptLogN: 17 } as const
    expect(judgeSealing({ ...config, profile: 'production', sealer })).toMatchObject({ level: 'ok' })
    expect(judgeSealing({ ...config, profile: 'development', sealer })).toMatchObject({ level: 'warning' })
  })
})
