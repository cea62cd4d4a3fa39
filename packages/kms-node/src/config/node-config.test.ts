import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PROTOCOL_TIMINGS } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { SETTINGS } from './environment.ts'
import { isLoopback, loadNodeConfig, parseNodeConfig } from './node-config.ts'
import type { NodeConfig } from './types.ts'
import { parseYaml } from './yaml-file.ts'

const parse = (document: unknown, env: Record<string, string> = {}): NodeConfig =>
  parseNodeConfig(document, { directory: '/data/alice', env })
const problemsOf = (document: unknown, env: Record<string, string> = {}): readonly string[] => {
  try {
    parse(document, env)
    return []
  } catch (error) {
    expect(error).toMatchObject({ code: 'bad-config-file' })
    return (error as { data: { problems: string[] } }).data.problems
  }
}

describe('node.yaml', () => {
  it('needs only a name; everything else has a safe default', () => {
    const config = parse({ name: 'alice' })
    expect(config).toMatchObject({
      profile: 'production',
      dataDir: '/data/alice',
      adminSocket: '/data/alice/admin.sock',
      policyFile: '/data/alice/policy.yaml',
      http: { host: '127.0.0.1', tls: true, corsOrigins: [] },
      sealer: { provider: 'passphrase', scryptLogN: 17 },
      ceremony: PROTOCOL_TIMINGS,
      log: { level: 'info' },
    })
  })

  it('resolves paths against the data directory', () => {
    const config = parse({
      name: 'a',
      dataDir: '../bob',
      policyFile: 'p.yaml',
      sealer: { passphraseFile: '/run/secret' },
    })
    expect(config).toMatchObject({
      dataDir: '/data/bob',
      policyFile: '/data/bob/p.yaml',
      sealer: { passphraseFile: '/run/secret' },
    })
  })

  it('reports every problem at once with its path', () => {
    const problems = problemsOf({
      nmae: 'x',
      http: { port: 70_000, prot: 1 },
      listen: ['tcp/1'],
      limits: { replayEntries: 0 },
    })
    const paths = problems.map((problem) => problem.split(':')[0])
    expect(paths.toSorted()).toEqual(['(the file)', 'http', 'http.port', 'limits.replayEntries', 'listen.0', 'name'])
    expect(problemsOf(null)).toHaveLength(1)
    expect(problemsOf([])).toHaveLength(1)
  })

  it('serves plain HTTP on loopback only, and only when told', () => {
    expect(parse({ name: 'a', http: { tls: false } }).http.tls).toBe(false)
    for (const host of ['0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example.org', 'example.org'])
      expect(problemsOf({ name: 'a', http: { tls: false, host } })).toEqual([expect.stringMatching(/^http\.tls: /)])
    expect(['127.0.0.1', '127.9.9.9', '::1', 'localhost'].every(isLoopback)).toBe(true)
  })

  it('refuses development switches in production', () => {
    const switches = { name: 'a', sealer: { scryptLogN: 12 }, ceremony: { phaseBaseMs: 300, retransmitMs: 100 } }
    expect(problemsOf(switches)).toHaveLength(3)
    expect(parse({ ...switches, profile: 'development' }).ceremony.phaseBaseMs).toBe(300)
  })

  it('takes the sealer by its provider, with the settings of that provider only', () => {
    expect(parse({ name: 'a', sealer: {} }).sealer).toEqual({ provider: 'passphrase', scryptLogN: 17 })
    const development = { name: 'a', profile: 'development' }
    const env = { TKMS_SEALER_PROVIDER: 'kms-file', TKMS_SEALER_KEY_FILE: '/keys/a' }
    expect(parse(development, env).sealer).toEqual({ provider: 'kms-file', keyFile: '/keys/a' })
    expect(parse({ ...development, sealer: { provider: 'kms-file' } }).sealer).toEqual({
      provider: 'kms-file',
      keyFile: '/data/alice/sealer.key',
    })
    const tpm2 = (given: object): unknown => ({ name: 'a', sealer: { provider: 'tpm2', ...given } })
    const pcrs = 'sha256:0,1,2,3,4,5,7'
    expect(parse(tpm2({})).sealer).toEqual({ provider: 'tpm2', tcti: 'device:/dev/tpmrm0', pcrs })
    expect(parse(tpm2({}), { TKMS_SEALER_PCRS: 'sha384:0,23' }).sealer).toMatchObject({ pcrs: 'sha384:0,23' })
    const wrong = ['sha1:0', 'sha256:', 'sha256:24', 'sha256:0,0', 'sha256:0 -o /tmp/x', '0,1']
    const refusals = wrong.flatMap((selection) => problemsOf(tpm2({ pcrs: selection })))
    expect(refusals).toEqual(wrong.map((): unknown => expect.stringMatching(/^sealer\.pcrs: /)))
    expect(problemsOf(tpm2({ pcrs: '', tcti: '-x y', socket: 's' }))).toHaveLength(3)
    expect(parse({ name: 'a', sealer: { provider: 'dstack' } }).sealer).toEqual({
      provider: 'dstack',
      socket: '/var/run/dstack.sock',
    })
    expect(problemsOf({ name: 'a', sealer: { provider: 'kms-file' } })).toEqual([
      'sealer.provider: kms-file only in the development profile',
    ])
    expect(problemsOf({ name: 'a', sealer: { provider: 'tpm' } })).toEqual([
      expect.stringMatching(/^sealer\.provider: one of passphrase, /),
    ])
    expect(
      problemsOf({ ...development, sealer: { provider: 'kms-file', scryptLogN: 17, passphraseFile: 'p' } }),
    ).toEqual([expect.stringContaining('"scryptLogN", "passphraseFile"')])
    const variables = SETTINGS.map(({ variable }) => variable).filter((name) => name.startsWith('TKMS_SEALER_'))
    expect(variables).toEqual([...new Set(variables)])
  })

  it('takes the environment over the file', () => {
    const env = {
      TKMS_HTTP_PORT: '9001',
      TKMS_HTTP_TLS: 'false',
      TKMS_LISTEN: '/ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2',
      TKMS_SEALER_SCRYPT_LOG_N: '18',
      TKMS_NAME: 'bob',
    }
    const config = parse({ name: 'alice', http: { port: 1, host: '::1' } }, env)
    expect(config).toMatchObject({
      name: 'bob',
      http: { port: 9001, tls: false, host: '::1' },
      sealer: { scryptLogN: 18 },
    })
    expect(config.listen).toEqual(['/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/2'])
    expect(problemsOf({ name: 'a' }, { TKMS_HTTP_PORT: 'many', TKMS_HTTP_TLS: 'yes' })).toHaveLength(2)
  })

  it('takes chains from the file and from the environment', () => {
    const rpc = ['https://one.example.org/key', 'https://two.example.org', 'https://three.example.org']
    expect(parse({ name: 'a' }).chains).toEqual({})
    expect(parse({ name: 'a', chains: { 421614: { rpc } } }).chains).toEqual({ 421614: { rpc, timeoutMs: 3000 } })
    const env = {
      TKMS_CHAINS_1_RPC: 'http://127.0.0.1:8545, http://[::1]:8546',
      TKMS_CHAINS_1_REQUIRED: '2',
      TKMS_CHAINS_421614_TIMEOUT_MS: '500',
    }
    expect(parse({ name: 'a', chains: { 421614: { rpc } } }, env).chains).toEqual({
      1: { rpc: ['http://127.0.0.1:8545', 'http://[::1]:8546'], required: 2, timeoutMs: 3000 },
      421614: { rpc, timeoutMs: 500 },
    })
    expect(problemsOf({ name: 'a' }, { TKMS_CHAINS_MAIN_RPC: rpc.join(',') })).toHaveLength(1)
  })

  it('asks contract wallets on a configured chain only', () => {
    const chains = { 1: { rpc: ['https://a.example.org'] } }
    expect(parse({ name: 'a', chains }).erc1271).toBeUndefined()
    expect(parse({ name: 'a', chains, erc1271: { chain: 1 } }).erc1271).toEqual({ chain: 1 })
    expect(parse({ name: 'a', chains }, { TKMS_ERC1271_CHAIN: '1' }).erc1271).toEqual({ chain: 1 })
    expect(problemsOf({ name: 'a', chains, erc1271: { chain: 2 } })).toEqual(['erc1271.chain: must be one of chains'])
    expect(problemsOf({ name: 'a', chains, erc1271: {} })).toHaveLength(1)
  })

  it.each([
    ['an id that is no number', { main: { rpc: ['https://a.example.org'] } }],
    ['an id beyond what requests hold', { '9007199254740993': { rpc: ['https://a.example.org'] } }],
    ['no endpoint', { 1: { rpc: [] } }],
    ['another scheme', { 1: { rpc: ['ws://a.example.org'] } }],
    ['an endpoint named twice', { 1: { rpc: ['https://a.example.org', 'https://a.example.org'] } }],
    ['half of the endpoints', { 1: { rpc: ['https://a.example.org', 'https://b.example.org'], required: 1 } }],
    ['more than all endpoints', { 1: { rpc: ['https://a.example.org'], required: 2 } }],
    ['plain HTTP to another machine', { 1: { rpc: ['http://10.0.0.1:8545'] } }],
    ['an unknown option', { 1: { rpc: ['https://a.example.org'], retries: 3 } }],
  ])('refuses chains with %s', (_what, chains) => {
    expect(problemsOf({ name: 'a', chains })).toHaveLength(1)
  })

  it.each(['https://app.example.org', 'http://127.0.0.1:3000', 'https://[::1]:8443', 'https://xn--bcher-kva.example'])(
    'takes the origin %s',
    (origin) => {
      expect(parse({ name: 'a', http: { corsOrigins: [origin] } }).http.corsOrigins).toEqual([origin])
    },
  )

  it.each([
    '*',
    'null',
    'https://*',
    'https://*.example.org',
    'https://app.example.org/',
    'https://app.example.org:443',
    'https://app.example.org:*',
    'https://App.example.org',
    'https://bücher.example',
    'https://user@app.example.org',
    'https://app.example.org:99999',
    'https://app.example.org?x',
    'ftp://app.example.org',
  ])('refuses %s as an origin: no browser sends it', (origin) => {
    expect(problemsOf({ name: 'a', http: { corsOrigins: [origin] } })).toEqual([
      expect.stringMatching(/^http\.corsOrigins\.0: an origin as browsers send it/),
    ])
  })

  it('has one variable per setting', () => {
    const variables = SETTINGS.map(({ variable }) => variable)
    expect(new Set(variables).size).toBe(variables.length)
    expect(variables).toContain('TKMS_CEREMONY_PHASE_BASE_MS')
    expect(variables).toContain('TKMS_LOG_LEVEL')
  })

  it('is read from disk; a missing one says so', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tkms-config-'))
    await expect(loadNodeConfig({ directory, env: {} })).rejects.toMatchObject({
      code: 'config-missing',
      message: expect.stringContaining('init done?') as unknown,
    })
    await writeFile(join(directory, 'node.yaml'), 'chains:\n  421614: {}\n')
    await expect(loadNodeConfig({ directory, env: {} })).rejects.toMatchObject({
      code: 'bad-config-file',
      data: {
        problems: ['name: is missing (or TKMS_NAME)', 'chains.421614.rpc: is missing (or TKMS_CHAINS_421614_RPC)'],
      },
    })
    await writeFile(join(directory, 'node.yaml'), 'name: alice\nhttp:\n  port: 0\n')
    expect(await loadNodeConfig({ directory, env: {} })).toMatchObject({
      name: 'alice',
      dataDir: directory,
      http: { port: 0 },
    })
    await rm(directory, { recursive: true })
  })
})

describe('YAML', () => {
  it.each(['a: 1\na: 2', 'a: &x 1\nb: *x', 'a: !custom 1', 'a: [1', '{'])('refuses %j', (text) => {
    expect(() => parseYaml(text, 'f.yaml')).toThrow(expect.objectContaining({ code: 'bad-config-file' }))
  })
})
