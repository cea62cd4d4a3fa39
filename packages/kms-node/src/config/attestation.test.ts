import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readAttestationFile } from './attestation-file.ts'
import { parseNodeConfig } from './node-config.ts'
import type { AttestationConfig } from './types.ts'

const parse = (attestation: unknown, profile = 'production', env: Record<string, string> = {}): AttestationConfig =>
  parseNodeConfig({ name: 'a', profile, attestation }, { directory: '/data/a', env }).attestation
const problemsOf = (attestation: unknown, profile = 'production'): readonly string[] => {
  try {
    parse(attestation, profile)
    return []
  } catch (error) {
    expect(error).toMatchObject({ code: 'bad-config-file' })
    return (error as { data: { problems: string[] } }).data.problems
  }
}
const mrTd = 'ab'.repeat(48)

describe('attestation in node.yaml', () => {
  it('is off by default, and takes an up-to-date platform only', () => {
    expect(parse({})).toEqual({
      provider: 'none',
      allow: [],
      requirePeers: false,
      keepFloor: true,
      tcbStatuses: ['UpToDate'],
      collateral: { directory: '/data/a/collateral', refreshHours: 24 },
      warnDays: 14,
    })
  })

  it('names what may run, by TD, enclave or signer, side by side', () => {
    const allow = [
      { name: '1.4', mrTd, rtmr1: mrTd, rtmr2: mrTd },
      { name: '1.5', mrEnclave: 'cd'.repeat(32) },
      { name: '1.6', mrSigner: 'cd'.repeat(32), isvProdId: 1, isvSvn: 2 },
    ]
    expect(parse({ provider: 'tdx', allow }).allow).toEqual(allow)
  })

  it.each<[string, unknown]>([
    ['another provider', { provider: 'sev' }],
    ['a short measurement', { allow: [{ name: 'a', mrTd: 'ab' }] }],
    ['capitals', { allow: [{ name: 'a', mrTd: mrTd.toUpperCase() }] }],
    ['TD and enclave in one entry', { allow: [{ name: 'a', mrTd, mrEnclave: 'cd'.repeat(32) }] }],
    ['registers without a TD', { allow: [{ name: 'a', rtmr0: mrTd }] }],
    ['a signer of any version', { allow: [{ name: 'a', mrSigner: 'cd'.repeat(32) }] }],
    ['a name twice', { allow: [1, 2].map(() => ({ name: 'a', mrTd, rtmr1: mrTd, rtmr2: mrTd })) }],
    ['a firmware whatever runs on it', { allow: [{ name: 'a', mrTd, rtmr1: mrTd }] }],
    ['a revoked platform', { tcbStatuses: ['Revoked'] }],
    ['no status', { tcbStatuses: [] }],
    ['a socket without dstack', { provider: 'tdx', dstackSocket: '/run/d.sock' }],
    ['a report directory without tdx', { provider: 'dstack', reportDirectory: '/report' }],
  ])('refuses %s', (_what, attestation) => {
    expect(problemsOf(attestation)).toEqual([expect.stringMatching(/^attestation\./)])
  })

  it('names the entry that leaves open what runs on its firmware', () => {
    const allow = [
      { name: '1.4', mrTd, rtmr1: mrTd, rtmr2: mrTd },
      { name: '1.5', mrTd },
    ]
    expect(problemsOf({ allow })).toEqual([expect.stringMatching(/^attestation\.allow, 1\.5: mrTd names/)])
  })

  it('takes the simulated machine, another root and plain HTTP in development only', () => {
    const switches = {
      provider: 'simulated',
      simulatedFile: 'machine.json',
      rootFile: 'root.pem',
      collateral: { url: 'http://127.0.0.1:1' },
    }
    expect(problemsOf(switches)).toHaveLength(3)
    expect(parse(switches, 'development')).toMatchObject({
      simulatedFile: '/data/a/machine.json',
      rootFile: '/data/a/root.pem',
    })
    expect(parse({ allow: [{ name: 'a', mrTd }] }, 'development').allow).toHaveLength(1)
    expect(problemsOf({ provider: 'simulated' }, 'development')).toHaveLength(1)
    expect(problemsOf({ simulatedFile: 'machine.json' }, 'development')).toHaveLength(1)
  })

  it('is taken from the environment', () => {
    const env = { TKMS_ATTESTATION_PROVIDER: 'tdx', TKMS_ATTESTATION_COLLATERAL_URL: 'https://pccs.example.org' }
    expect(parse({}, 'production', env)).toMatchObject({
      provider: 'tdx',
      collateral: { url: 'https://pccs.example.org' },
    })
  })
})

describe('a file of what is trusted', () => {
  it('is read like the settings, with paths beside it', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tkms-trust-'))
    const file = join(directory, 'trust.yaml')
    await writeFile(file, `allow: [{name: a, mrTd: ${mrTd}}]\nrootFile: root.pem\n`)
    expect(await readAttestationFile(file)).toMatchObject({
      allow: [{ name: 'a', mrTd }],
      rootFile: join(directory, 'root.pem'),
      collateral: { directory: join(directory, 'collateral') },
    })
    await writeFile(file, 'alow: []\n')
    await expect(readAttestationFile(file)).rejects.toMatchObject({ code: 'bad-config-file' })
    await rm(directory, { recursive: true })
  })
})
