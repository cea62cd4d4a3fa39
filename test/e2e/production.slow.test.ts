import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { freePorts } from '@tkms/examples/free-ports'
import { PROGRAMS } from '@tkms/examples/programs'
import { createCluster, initialiseNode, joinCluster, parseNodeCard, systemRng, withNodeStore } from '@tkms/kms-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestAgent, type TestAgent } from '../../packages/kms-node/src/dstack/guest-agent.fixture.ts'

/** Longer than any refusal takes, shorter than the test's own time. */
const START_TIMEOUT_MS = 40_000

let directory: string
let agent: TestAgent
/** Data directory of a member whose every setting is one of production. */
let node: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-production-'))
  const socket = join(directory, 'dstack.sock')
  agent = await startTestAgent(socket, 'this application')
  const ports = await freePorts(3)
  const made = await Promise.all(
    ['alice', 'bob', 'carol'].map((name, at) =>
      initialiseNode({
        directory: join(directory, name),
        name,
        profile: 'production',
        listen: ['/ip4/127.0.0.1/tcp/0'],
        announce: [`/ip4/127.0.0.1/tcp/${at + 1}`],
        httpHost: '127.0.0.1',
        httpPort: ports[at] ?? 0,
        tls: true,
        sealer: 'dstack',
        env: { TKMS_SEALER_SOCKET: socket },
      }),
    ),
  )
  const cards = made.map(({ card }, at) => parseNodeCard(card, `${at}`))
  const cluster = createCluster(cards, { threshold: 2, rng: systemRng })
  const { config } = made[0] ?? expect.unreachable()
  await withNodeStore(config, {}, (store) => joinCluster(store, config, cluster))
  node = config.dataDir
  await change('node.yaml', sealedBy(`{ provider: dstack, socket: '${socket}' }`))
})
afterAll(async () => {
  await agent.close()
  await rm(directory, { recursive: true })
})

interface Started {
  /** What it refuses itself with; undefined where it runs. */
  readonly code: string | undefined
  readonly problems: readonly string[]
  /** Of a process that has ended. */
  readonly exitCode: number | null
}

/** The program as operators start it, until it says that it is up, or ends. */
async function start(variables: NodeJS.ProcessEnv = {}): Promise<Started> {
  const child = spawn(process.execPath, [PROGRAMS['kms-node'], 'start', '--data-dir', node, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    env: { ...process.env, ...variables },
    timeout: START_TIMEOUT_MS,
  })
  child.once('message', () => child.kill('SIGTERM'))
  const ended = exitOf(child)
  const lines = (await text(child.stdout ?? expect.unreachable())).split('\n').filter((line) => line.startsWith('{'))
  const said = lines.map((line) => JSON.parse(line) as Line)
  const error = said.find((line) => line.error !== undefined)?.error
  return { code: error?.code, problems: error?.data?.problems ?? [], exitCode: await ended }
}

interface Line {
  readonly error?: { readonly code: string; readonly data?: { readonly problems?: readonly string[] } }
}

const exitOf = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code))
  })

async function change(name: string, how: (content: string) => string): Promise<() => Promise<void>> {
  const file = join(node, name)
  const before = await readFile(file, 'utf8')
  const after = how(before)
  expect(after).not.toBe(before)
  await writeFile(file, after)
  return () => writeFile(file, before)
}

/** What the program says when it is started while a file is like this. */
async function startWith(name: string, how: (content: string) => string): Promise<Started> {
  const putBack = await change(name, how)
  try {
    return await start()
  } finally {
    await putBack()
  }
}

const sealedBy = (settings: string) => (content: string) =>
  content.replace(/^sealer:.*\n(?: .*\n)*/m, `sealer: ${settings}\n`)
const also = (settings: string) => (content: string) => `${content}\n${settings}\n`
const refusedFor = (...problems: readonly RegExp[]): object => ({
  code: 'bad-config-file',
  exitCode: 1,
  problems: problems.map((problem): unknown => expect.stringMatching(problem)),
})

test('production starts where nothing is wrong', async () => {
  expect(await start()).toEqual({ code: undefined, problems: [], exitCode: 0 })
})

test('production does not start with a development provider of quotes, nor with a root of somebody else', async () => {
  const simulated = 'attestation: { provider: simulated, simulatedFile: machine.json, rootFile: root.pem }'
  expect(await startWith('node.yaml', also(simulated))).toEqual(
    refusedFor(/^attestation\.provider: simulated /, /^attestation\.rootFile: /),
  )
})

test('production does not start with a development sealer', async () => {
  const keyFile = sealedBy('{ provider: kms-file }')
  expect(await startWith('node.yaml', keyFile)).toEqual(refusedFor(/^sealer\.provider: kms-file /))
})

test('production does not start open to the pages of every origin', async () => {
  const open = (content: string): string =>
    content.replace('http:\n', `http:\n  corsOrigins: ['*', 'null', 'https://*.example.org']\n`)
  const each = /^http\.corsOrigins\.\d: an origin as browsers send it/
  expect(await startWith('node.yaml', open)).toEqual(refusedFor(each, each, each))
})

test('production does not start with plain HTTP beyond loopback', async () => {
  const everywhere = { TKMS_HTTP_TLS: 'false', TKMS_HTTP_HOST: '0.0.0.0' }
  expect(await start(everywhere)).toEqual(refusedFor(/^http\.tls: plain HTTP is served on a loopback host only/))
})

test('production does not start with a policy that lets everybody in, or without one', async () => {
  const coarse = `version: 1\nkeys:\n  '*': { rule: quota, requester: [{ items: 1, seconds: 1 }] }\n`
  expect(await startWith('policy.yaml', () => coarse)).toEqual(refusedFor(/^keys\.\*: lets rules .* say yes alone/))
  const elsewhere = { TKMS_POLICY_FILE: join(directory, 'nowhere.yaml') }
  expect(await start(elsewhere)).toMatchObject({ code: 'config-missing', exitCode: 1 })
})

test.each([
  ['the data directory', '.', 0o755, 'unsafe-permissions'],
  ['node.yaml', 'node.yaml', 0o644, 'unsafe-permissions'],
  ['the sealed store', 'store', 0o755, 'store-permissions'],
])('production does not start while every user can look into %s', async (_what, name, mode, code) => {
  const path = join(node, name)
  const { mode: before } = await stat(path)
  await chmod(path, mode)
  try {
    expect(await start()).toMatchObject({ code, exitCode: 1 })
  } finally {
    await chmod(path, before)
  }
})

test('production does not start on a store that is not sealed, or that something else has sealed', async () => {
  const unsealed = sealedBy('{ provider: none }')
  expect(await startWith('node.yaml', unsealed)).toEqual(refusedFor(/^sealer\.provider: one of /))
  const secret = join(directory, 'secret')
  await writeFile(secret, 'a passphrase of somebody', { mode: 0o600 })
  const other = sealedBy(`{ provider: passphrase, passphraseFile: '${secret}' }`)
  expect(await startWith('node.yaml', other)).toMatchObject({ code: 'sealer-mismatch', exitCode: 1 })
})
