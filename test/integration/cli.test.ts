import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PROGRAMS } from '@tkms/examples/programs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestCluster } from '../support/node-cluster.ts'

const MAIN = PROGRAMS['kms-node']

interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

let directory: string
let passphraseFile: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-cli-'))
  passphraseFile = join(directory, 'passphrase')
  await writeFile(passphraseFile, 'a passphrase for tests only\n', { mode: 0o600 })
})

afterAll(() => rm(directory, { recursive: true, force: true }))

function run(...args: readonly string[]): Promise<Ran> {
  const env = { TKMS_SEALER_SCRYPT_LOG_N: '10' }
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { env, cwd: directory }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr })
    })
  })
}

function init(name: string, port: number): Promise<Ran> {
  const place = ['--name', name, '--data-dir', name, '--listen', `/ip4/127.0.0.1/tcp/${port}`]
  const options = ['--http-port', String(port + 1), '--passphrase-file', passphraseFile, '--profile', 'development']
  return run('init', ...place, ...options, '--json')
}

test('cards become a cluster that every node checks, pins and verifies', async () => {
  const cards = await Promise.all([init('alice', 21_001), init('bob', 21_003), init('carol', 21_005)])
  expect(cards.map(({ code }) => code)).toEqual([0, 0, 0])
  const card = JSON.parse(cards[0]?.stdout ?? '') as Record<string, unknown>
  expect(card).toMatchObject({ name: 'alice', url: 'https://127.0.0.1:21002' })
  expect(Object.keys(card).toSorted()).toEqual(['ed25519', 'multiaddrs', 'name', 'peerId', 'tlsSpkiSha256', 'url'])
  expect((await stat(join(directory, 'alice'))).mode & 0o777).toBe(0o700)

  const files = ['alice', 'bob', 'carol'].map((name) => join(name, 'card.json'))
  const made = await run('cluster', 'new', '--threshold', '2', '--out', 'cluster.json', ...files, '--json')
  const { configHash } = JSON.parse(made.stdout) as { configHash: string }
  expect(made.code).toBe(0)

  const joined = await run(
    'cluster',
    'join',
    'cluster.json',
    '--config-hash',
    configHash,
    '--data-dir',
    'bob',
    '--json',
  )
  expect(JSON.parse(joined.stdout)).toMatchObject({ index: 2, name: 'bob', configHash, n: 3, t: 2, f: 0 })
  const again = await run('cluster', 'show', '--data-dir', 'bob', '--json')
  expect(JSON.parse(again.stdout)).toMatchObject({ configHash })

  const verified = await run('cluster', 'verify', 'cluster.json', '--config-hash', configHash, '--json')
  expect([verified.code, JSON.parse(verified.stdout)]).toMatchObject([0, { ok: true, keys: [] }])
  const wrong = await run('cluster', 'verify', 'cluster.json', '--config-hash', `0x${'00'.repeat(32)}`, '--json')
  expect([wrong.code, JSON.parse(wrong.stdout)]).toMatchObject([1, { error: { code: 'cluster-changed' } }])

  const other = await run('cluster', 'new', '--threshold', '2', '--out', 'other.json', ...files)
  expect(other.code).toBe(0)
  const second = await run('cluster', 'join', 'other.json', '--data-dir', 'bob', '--json')
  expect([second.code, JSON.parse(second.stdout)]).toMatchObject([1, { error: { code: 'cluster-pinned' } }])

  const stranger = await init('dave', 21_007)
  expect(stranger.code).toBe(0)
  const outside = await run('cluster', 'join', 'cluster.json', '--data-dir', 'dave', '--json')
  expect([outside.code, JSON.parse(outside.stdout)]).toMatchObject([1, { error: { code: 'not-in-cluster' } }])
})

test('a second init changes nothing', async () => {
  expect((await init('erin', 21_009)).code).toBe(0)
  const card = await readFile(join(directory, 'erin', 'card.json'), 'utf8')
  const again = await init('erin', 21_009)
  expect([again.code, JSON.parse(again.stdout)]).toMatchObject([1, { error: { code: 'store-exists' } }])
  expect(await readFile(join(directory, 'erin', 'card.json'), 'utf8')).toBe(card)
})

test('exit codes tell usage, a node that does not run and refusals apart', async () => {
  expect((await run('keys', '--data-dir', 'nowhere')).code).toBe(3)
  expect((await run('ceremony', 'propose')).code).toBe(2)
  expect((await run('cluster', 'show', 'nowhere.json')).code).toBe(1)
  const help = await run('ceremony', 'approve', '--help')
  expect(help.code).toBe(0)
  expect(help.stdout).toContain('Exit codes:')
  expect(help.stdout).toContain('npm run --silent kms-node -- ceremony approve')
})

/** The error that a failed command reports as JSON. */
async function failed(...args: readonly string[]): Promise<{ code: number; error: { code: string; message: string } }> {
  const { code, stdout } = await run(...args, '--json')
  return { code, ...(JSON.parse(stdout) as { error: { code: string; message: string } }) }
}

test.for([
  [['ceremony', 'propose'], 'give exactly one of'],
  [['ceremony', 'propose', '--reshare', 'ecies/1'], '--refresh gives the same committee new shares'],
  [['ceremony', 'propose', '--reshare', 'ecies/1', '--threshold', '99'], 'a whole number from 2 to 63'],
  [['ceremony', 'propose', '--name', 'ecies/1', '--supersede'], 'belong to --reshare and --refresh'],
  [['cluster', 'new', 'a.json', '--threshold', 'x', '--out', 'b.json'], 'a whole number from 2 to 63'],
  [['keys', 'destroy', 'ecies/1', '--generation', 'one'], 'a whole number above 0'],
] as const)('wrong usage is JSON too: %o', async ([args, problem]) => {
  // No node runs here: a command line that is right would end with another code.
  const usage = await failed(...args, '--data-dir', 'nowhere')
  const expected = { code: 'usage', message: expect.stringContaining(problem) as unknown }
  expect(usage).toMatchObject(args[0] === 'keys' ? { code: 2 } : { code: 2, error: expected })
})

test('what a message does not say, its remedy does', async () => {
  const missing = await failed('init', '--name', 'gina', '--data-dir', 'gina', '--profile', 'development')
  expect(missing.error).toMatchObject({
    code: 'passphrase-missing',
    message: expect.stringContaining('--passphrase-file') as unknown,
  })
  const two = await failed(
    'cluster',
    'new',
    '--threshold',
    '3',
    '--out',
    'few.json',
    join('alice', 'card.json'),
    join('bob', 'card.json'),
  )
  expect(two.error.message).toContain('3 to 64 members, not 2')
  const alone = await failed('start', '--data-dir', 'alice')
  expect(alone.error.message).toContain('cluster join')
})

test('a data directory with a path too long for a socket still has an admin socket', async () => {
  const long = join(directory, 'x'.repeat(120))
  await mkdir(long)
  const cluster = await createTestCluster({ n: 3, t: 2, parent: long })
  const [node] = cluster.nodes
  if (node === undefined) throw new Error('no node')
  try {
    await node.start()
    const socket = (await readFile(join(node.directory, 'admin.path'), 'utf8')).trim()
    expect((await stat(socket)).mode & 0o777).toBe(0o600)
    expect(await (await node.admin()).get('/status')).toMatchObject({ name: 'node-1', index: 1 })
    expect(await node.stop()).toBe(0)
    await expect(stat(socket)).rejects.toMatchObject({ code: 'ENOENT' })
  } finally {
    await cluster.dispose()
  }
})
