import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { selectCurve } from '@tkms/curve-native'
import {
  decodeRequest,
  parseAuthorization,
  parseCluster,
  Secret,
  verifyAuthorization,
  verifyEd25519,
  wrongPartialCulprit,
} from '@tkms/dkg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createTestCluster, type Misconduct, refusing, type TestCluster } from '../node/testing/test-cluster.ts'
import { delegateListener, startTestServer, type TestServer } from '../node/testing/test-http.ts'
import { EXIT_CODES } from './exit-codes.ts'
import { runCli } from './program.ts'

const curve = selectCurve().curve
let cluster: TestCluster
let servers: TestServer[]
let refusingServers: TestServer[]
let lyingServers: TestServer[]
let directory: string

const start = (misconduct?: Misconduct): Promise<TestServer[]> =>
  Promise.all([1, 2, 3, 4, 5].map((index) => startTestServer(delegateListener(cluster, index, misconduct))))

beforeAll(async () => {
  cluster = createTestCluster(curve)
  servers = await start()
  refusingServers = await start(refusing({ code: 'not-allowed' }))
  lyingServers = await start({ share: new Secret(new Uint8Array(32).fill(9)) })
})
afterAll(() => Promise.all([...servers, ...refusingServers, ...lyingServers].map((server) => server.close())))

const path = (name: string): string => join(directory, name)
const clusterFile = (of: readonly TestServer[]): string =>
  JSON.stringify(cluster.file((index) => ({ url: `http://127.0.0.1:${of[index - 1]?.port ?? 0}` })))

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-cli-'))
  await writeFile(path('cluster.json'), clusterFile(servers))
  await writeFile(path('refusing.json'), clusterFile(refusingServers))
  await writeFile(path('lying.json'), clusterFile(lyingServers))
})
afterEach(() => rm(directory, { recursive: true }))

interface Run {
  readonly code: number
  readonly out: Buffer
  readonly err: string
}

async function tkms(args: readonly string[], stdin = ''): Promise<Run> {
  const out: Uint8Array[] = []
  let err = ''
  const code = await runCli(args, {
    stdin: (async function* () {
      yield Buffer.from(stdin)
    })(),
    stdoutIsTty: false,
    stderrIsTty: false,
    writeOut: (data) => {
      out.push(Buffer.from(data))
      return Promise.resolve()
    },
    writeErr: (text) => {
      err += text
    },
    signal: new AbortController().signal,
  })
  return { code, out: Buffer.concat(out), err }
}

const keygen = (): Promise<Run> => tkms(['keygen', '--out', path('signer.pem')])
const ask = (): string[] => ['--cluster', path('cluster.json'), '--signer', path('signer.pem')]

describe('tkms', () => {
  it('encrypts a file for an owner and decrypts it through the nodes', async () => {
    const owner = (await keygen()).out.toString().trim()
    await writeFile(path('secret.txt'), 'the plan')
    const cluster = ['--cluster', path('cluster.json')]
    const encrypted = await tkms([
      'encrypt',
      ...cluster,
      '--owner',
      owner,
      path('secret.txt'),
      '--out',
      path('secret.tkms'),
    ])
    expect(encrypted).toMatchObject({ code: EXIT_CODES.ok, err: expect.not.stringContaining('warning') as unknown })
    const decrypted = await tkms(['decrypt', ...ask(), path('secret.tkms'), '--out', path('plain.txt')])
    expect(decrypted.code).toBe(EXIT_CODES.ok)
    expect(await readFile(path('plain.txt'), 'utf8')).toBe('the plan')
    expect((await stat(path('plain.txt'))).mode & 0o777).toBe(0o600)
    const verified = await tkms(['verify', ...cluster, path('secret.tkms'), '--json'])
    expect(JSON.parse(verified.out.toString())).toMatchObject({
      threshold: 3,
      envelope: { key: 'ecies/test', owners: owner },
    })
  })

  it.each(['binary', 'json'])('pipes %s envelopes through standard input and output', async (format) => {
    await keygen()
    const sealed = await tkms(['encrypt', '--cluster', path('cluster.json'), '--format', format], 'piped')
    expect(sealed.err).toContain('warning: no --owner was named')
    await writeFile(path('sealed'), sealed.out)
    expect((await tkms(['decrypt', ...ask(), path('sealed')])).out.toString()).toBe('piped')
  })

  it('boxes answers to a recipient key file, and prints the request that would be sent', async () => {
    await keygen()
    const recipient = await tkms(['keygen', '--type', 'recipient', '--out', path('recipient.pem'), '--json'])
    const { name } = JSON.parse(recipient.out.toString()) as { name: string }
    const sealed = await tkms(['encrypt', '--cluster', path('cluster.json'), '--format', 'json'], 'x')
    await writeFile(path('sealed'), sealed.out)
    const withRecipient = [...ask(), '--recipient-key', path('recipient.pem'), path('sealed')]
    expect((await tkms(['decrypt', ...withRecipient])).out.toString()).toBe('x')
    const report = await tkms(['request', ...withRecipient, '--out', path('request.json'), '--json'])
    expect(JSON.parse(report.out.toString())).toMatchObject({ recipientSpkiHash: name.replace('spki-sha256:', '') })
    const authorization = parseAuthorization(JSON.parse(await readFile(path('request.json'), 'utf8')))
    expect(verifyAuthorization(verifyEd25519, authorization)).toBe(true)
    expect(decodeRequest(curve, authorization.payload).keyId).toEqual(cluster.key.keyId)
  })

  it('shows nodes the token of a private file, and no token otherwise', async () => {
    const shown: (string | undefined)[] = []
    const listening = await Promise.all(
      [1, 2, 3, 4, 5].map((index) => {
        const listener = delegateListener(cluster, index)
        return startTestServer((request, response) => {
          shown.push(request.headers.authorization)
          listener(request, response)
        })
      }),
    )
    try {
      await keygen()
      await writeFile(path('cluster.json'), clusterFile(listening))
      await writeFile(path('token'), 'api-token_1\n', { mode: 0o600 })
      await writeFile(path('sealed'), (await tkms(['encrypt', '--cluster', path('cluster.json')], 'x')).out)
      expect((await tkms(['decrypt', ...ask(), path('sealed')])).out.toString()).toBe('x')
      expect(new Set(shown.splice(0))).toEqual(new Set([undefined]))
      expect((await tkms(['decrypt', ...ask(), '--token-file', path('token'), path('sealed')])).out.toString()).toBe(
        'x',
      )
      expect(new Set(shown)).toEqual(new Set(['Bearer api-token_1']))
      await chmod(path('token'), 0o644)
      const unsafe = await tkms(['decrypt', ...ask(), '--token-file', path('token'), path('sealed')])
      expect(unsafe.code).toBe(EXIT_CODES.usage)
    } finally {
      await Promise.all(listening.map((server) => server.close()))
    }
  })

  it('never overwrites without --force', async () => {
    await keygen()
    const before = await readFile(path('signer.pem'))
    expect(await keygen()).toMatchObject({ code: EXIT_CODES.usage })
    expect(await readFile(path('signer.pem'))).toEqual(before)
    expect((await tkms(['keygen', '--out', path('signer.pem'), '--force'])).code).toBe(EXIT_CODES.ok)
    expect(await readFile(path('signer.pem'))).not.toEqual(before)
    expect((await stat(path('signer.pem'))).mode & 0o777).toBe(0o600)
  })

  it('refuses a key file that others can read', async () => {
    await keygen()
    await writeFile(path('open.pem'), await readFile(path('signer.pem')), { mode: 0o644 })
    const run = await tkms(['decrypt', '--cluster', path('cluster.json'), '--signer', path('open.pem'), '--json'])
    expect(run.code).toBe(EXIT_CODES.usage)
    expect(JSON.parse(run.out.toString())).toMatchObject({ error: { code: 'unsafe-permissions' } })
  })

  it('names every node when they refuse', async () => {
    await keygen()
    const sealed = await tkms(['encrypt', '--cluster', path('cluster.json'), '--format', 'json'], 'x')
    await writeFile(path('sealed'), sealed.out)
    const args = ['decrypt', '--cluster', path('refusing.json'), '--signer', path('signer.pem'), path('sealed')]
    const run = await tkms([...args, '--json'])
    expect(run.code).toBe(EXIT_CODES.quorum)
    const { error } = JSON.parse(run.out.toString()) as { error: { code: string; causes: readonly { code: string }[] } }
    expect(error.code).toBe('quorum-not-reached')
    expect(error.causes.filter((cause) => cause.code === 'not-allowed').length).toBeGreaterThanOrEqual(3)
    const told = await tkms(args)
    expect(told.out).toHaveLength(0)
    expect(told.err).toMatch(/verify --cluster FILE ENVELOPE.*policy explain --request FILE/)
  })

  it('keeps evidence against nodes that answer wrongly, where it is told to', async () => {
    await keygen()
    const sealed = await tkms(['encrypt', '--cluster', path('cluster.json'), '--format', 'json'], 'x')
    await writeFile(path('sealed'), sealed.out)
    await mkdir(path('evidence'))
    const args = ['decrypt', '--cluster', path('lying.json'), '--signer', path('signer.pem'), path('sealed')]
    const run = await tkms([...args, '--evidence', path('evidence')])
    expect(run).toMatchObject({ code: EXIT_CODES.quorum, err: expect.stringContaining('answered wrongly') as unknown })
    const files = await readdir(path('evidence'))
    expect(files.length).toBeGreaterThanOrEqual(3)
    const { configHash } = parseCluster(JSON.parse(clusterFile(servers)))
    for (const file of files) {
      const evidence = await readFile(join(path('evidence'), file))
      const culprit = wrongPartialCulprit(curve, verifyEd25519, evidence, { configHash })
      expect(file).toContain(`E6-node-${culprit}-`)
    }
    expect((await tkms([...args, '--evidence', path('nowhere')])).err).toContain('could not be kept')
  })

  it.each<[string, string[], number]>([
    ['no command option', ['encrypt'], EXIT_CODES.usage],
    ['an unknown command', ['explode'], EXIT_CODES.usage],
    ['help', ['decrypt', '--help'], EXIT_CODES.ok],
    ['a missing file', ['verify', '--cluster', '/nonexistent/cluster.json'], EXIT_CODES.usage],
    ['a URL without a pin', ['verify', '--cluster', 'http://127.0.0.1:9/'], EXIT_CODES.usage],
  ])('exits as documented after %s', async (_, args, code) => {
    expect((await tkms(args)).code).toBe(code)
  })

  it('reports wrong options as JSON on standard output too', async () => {
    const run = await tkms(['encrypt', '--json'])
    expect(run.code).toBe(EXIT_CODES.usage)
    expect(JSON.parse(run.out.toString())).toMatchObject({
      error: { code: 'bad-argument', message: expect.stringContaining('--cluster') as unknown },
    })
  })

  it('explains an owner without a key, and names the key of an envelope with its generation', async () => {
    const owner = (await keygen()).out.toString().trim()
    const cluster = ['--cluster', path('cluster.json')]
    const wrong = await tkms(['encrypt', ...cluster, '--owner', 'ed25519:KEY'], 'x')
    expect(wrong).toMatchObject({
      code: EXIT_CODES.usage,
      err: expect.stringContaining('--owner ed25519:KEY is no public name') as unknown,
    })
    await writeFile(path('sealed'), (await tkms(['encrypt', ...cluster, '--owner', owner], 'x')).out)
    const verified = await tkms(['verify', ...cluster, path('sealed'), '--json'])
    expect(JSON.parse(verified.out.toString())).toMatchObject({ envelope: { key: 'ecies/test', generation: 1 } })
  })

  it('exits with the code of distrust for another pin and a broken file', async () => {
    const pin = `0x${'00'.repeat(32)}`
    const pinned = await tkms(['verify', '--cluster', path('cluster.json'), '--config-hash', pin])
    await writeFile(path('broken.json'), '{}')
    const broken = await tkms(['verify', '--cluster', path('broken.json')])
    expect([pinned.code, broken.code]).toEqual([EXIT_CODES.trust, EXIT_CODES.trust])
  })

  it('leaves no temporary files behind', async () => {
    await keygen()
    await keygen()
    expect((await readdir(directory)).toSorted()).toEqual(['cluster.json', 'lying.json', 'refusing.json', 'signer.pem'])
  })
})
