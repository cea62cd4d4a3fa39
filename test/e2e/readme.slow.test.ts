import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { PROGRAMS } from '@tkms/examples/programs'
import { freePorts } from '@tkms/examples/free-ports'
import { afterAll, beforeAll, expect, test } from 'vitest'

const execute = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
const OPERATORS = ['alice', 'bob', 'carol', 'dave', 'erin'] as const
type Operator = (typeof OPERATORS)[number]
const COMMAND = 'npm run --silent kms-node -- '
const TEST_TIMEOUT_MS = 180_000
const COMMAND_TIMEOUT_MS = 60_000

let directory: string
let readme: string
const nodes: ChildProcess[] = []

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-readme-'))
  readme = await readFile(join(root, 'README.md'), 'utf8')
})

afterAll(async () => {
  const running = nodes.filter((node) => node.exitCode === null)
  const ended = running.map((node) => once(node, 'exit'))
  for (const node of running) node.kill('SIGTERM')
  await Promise.all(ended)
  await rm(directory, { recursive: true, force: true })
})

/** The lines of a section's shell blocks that call the node's command line. */
function documentedCommands(): readonly string[] {
  const section = readme.split('## Run a cluster')[1]?.split('\n## ')[0] ?? ''
  return section.split('\n').filter((line) => line.startsWith(COMMAND))
}

/** The one documented command that begins with these words. */
function documented(words: string): string {
  const [line, ...more] = documentedCommands().filter((candidate) => candidate.startsWith(COMMAND + words))
  if (line === undefined || more.length > 0) throw new Error(`the README has no single command "${words}"`)
  return line
}

interface Place {
  readonly operator: Operator
  readonly p2pPort: number
  readonly httpPort: number
}

/** The same command for another operator of this machine: names, addresses and paths replaced, nothing else. Paths stay relative. */
function adapt(line: string, { operator, p2pPort, httpPort }: Place): readonly string[] {
  return line
    .slice(COMMAND.length)
    .replaceAll('10.0.0.1/tcp/7001', `127.0.0.1/tcp/${p2pPort}`)
    .replaceAll('--http-host 10.0.0.1', `--http-host 127.0.0.1 --http-port ${httpPort}`)
    .split(' ')
    .map((word) => word.replace(/^(?:alice|bob)(?=$|\.pass$)/, operator))
    .map((word, at, words) => (isPath(word, words[at - 1]) ? relative(root, join(directory, word)) : word))
}

const isPath = (word: string, before = ''): boolean =>
  word.endsWith('.json') || ['--data-dir', '--passphrase-file', '--out'].includes(before)

async function run(args: readonly string[]): Promise<string> {
  const options = { cwd: root, timeout: COMMAND_TIMEOUT_MS }
  const { stdout } = await execute('npm', ['run', '--silent', 'kms-node', '--', ...args], options)
  return stdout
}

/** Resolves when the node logs that it is up. */
async function start(args: readonly string[]): Promise<void> {
  const node = spawn('npm', ['run', '--silent', 'kms-node', '--', ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  nodes.push(node)
  const lines = createInterface({ input: node.stdout })
  for await (const line of lines)
    if (line.includes('"node-started"')) {
      node.stdout.resume()
      return
    }
  throw new Error(`a documented node did not start: ${args.join(' ')}`)
}

/** The first id that a `--watch` prints; what comes later is read away. */
async function firstCeremony(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('no output')
  for await (const line of createInterface({ input: child.stdout })) {
    const [id] = /0x[0-9a-f]{16,}/.exec(line) ?? []
    if (id !== undefined) {
      child.stdout.resume()
      return id
    }
  }
  throw new Error('the proposal printed no id')
}

let places: readonly Place[]

/** Under the name that the program of the README uses. */
async function makeKeyAsDocumented(): Promise<void> {
  const [first, ...others] = places
  if (first === undefined) throw new Error('no operator')
  const args = adapt(documented('ceremony propose').replace('ecies/421614', 'ecies/quickstart'), first)
  const proposing = spawn('npm', ['run', '--silent', 'kms-node', '--', ...args], { cwd: root, stdio: 'pipe' })
  const ended = once(proposing, 'exit')
  const ceremony = await firstCeremony(proposing)
  const approvals = await Promise.all(
    others.map((place) => run(adapt(documented('ceremony approve').replace('CEREMONY', ceremony), place))),
  )
  for (const output of approvals) expect(output).toContain('complete')
  expect(await ended).toEqual([0, null])
}

test('"Run a cluster", word for word on loopback, ends with a key', { timeout: TEST_TIMEOUT_MS }, async () => {
  const ports = await freePorts(2 * OPERATORS.length)
  places = OPERATORS.map((operator, at) => ({
    operator,
    p2pPort: ports[2 * at] ?? 0,
    httpPort: ports[2 * at + 1] ?? 0,
  }))
  const [first] = places
  if (first === undefined) throw new Error('no operator')
  for (const operator of OPERATORS)
    await writeFile(join(directory, `${operator}.pass`), `the passphrase of ${operator}\n`, { mode: 0o600 })
  await Promise.all(places.map((place) => run(adapt(documented('init'), place))))
  expect(await run(adapt(documented('cluster new'), first))).toContain('5 nodes, threshold 3')
  await Promise.all(places.map((place) => run(adapt(documented('cluster join'), place))))
  await Promise.all(places.map((place) => start(adapt(documented('start'), place))))
  await makeKeyAsDocumented()
  const used = ['init', 'cluster new', 'cluster join', 'start', 'ceremony propose', 'ceremony approve']
  expect(documentedCommands()).toEqual(used.map(documented))
})

/** A program's directory with the cluster file of alice. */
async function programDirectory(name: string): Promise<string> {
  const place = join(directory, name)
  await mkdir(place)
  await copyFile(join(directory, 'alice', 'cluster.json'), join(place, 'cluster.json'))
  return place
}

type Program = keyof typeof PROGRAMS

interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program where it is built; `npm run` does the same after it has looked for changes. */
function runProgram(program: Program, args: readonly string[], cwd: string): Promise<Ran> {
  return new Promise((finish) => {
    execFile(
      process.execPath,
      [PROGRAMS[program], ...args],
      { cwd, timeout: COMMAND_TIMEOUT_MS },
      (error, stdout, stderr) =>
        finish({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr }),
    )
  })
}

/** The help of every command of a program, found by following the lists of commands. */
async function helpTexts(program: Program, path: readonly string[] = []): Promise<readonly string[]> {
  const { code, stdout } = await runProgram(program, [...path, '--help'], directory)
  expect({ path, code }).toEqual({ path, code: 0 })
  const list = /^Commands:\n((?: {2}.*\n)+)/m.exec(stdout)?.[1] ?? ''
  const names = [...list.matchAll(/^ {2}([a-z-]+)/gm)]
    .flatMap(([, name]) => name ?? [])
    .filter((name) => name !== 'help')
  const inner = await eachByTwo(names, (name) => helpTexts(program, [...path, name]))
  return [stdout, ...inner.flat()]
}

/** Two at a time: forty programs that start at once all take a minute. */
async function eachByTwo<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  const waiting = [...items.entries()]
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) results[next[0]] = await run(next[1])
  }
  await Promise.all([work(), work()])
  return results
}

/** The examples in the help of a program, without what starts it and without the remarks behind them. */
async function examplesOf(program: Program): Promise<readonly (readonly string[])[]> {
  const texts = await helpTexts(program)
  const lines = [...texts.join('\n').matchAll(new RegExp(`npm run --silent ${program} -- (.*)$`, 'gm'))]
  const unique = new Set(lines.map(([, rest = '']) => rest.replace(/ {2,}.*$/, '').trim()))
  return [...unique].map((line) => line.split(' '))
}

test('every example in the help of kms-node is a valid command line', { timeout: TEST_TIMEOUT_MS }, async () => {
  const empty = join(directory, 'empty')
  await mkdir(empty)
  const examples = await examplesOf('kms-node')
  expect(examples.length).toBeGreaterThanOrEqual(8)
  // There is nothing to work on, so what needs a node fails; but for what it does not find, never for how it is written (exit code 2).
  const needsNothing = ['openapi', 'backup keygen']
  const ran = await eachByTwo(examples, async (example) => ({
    example,
    ...(await runProgram('kms-node', example, empty)),
  }))
  for (const { example, code } of ran)
    expect({ example, code }).toEqual({
      example,
      code: expect.toBeOneOf(
        needsNothing.some((words) => example.join(' ').startsWith(words)) ? [0] : [1, 3],
      ) as unknown,
    })
  expect((await runProgram('kms-node', ['start', '--no-such-option'], empty)).code).toBe(2)
})

test('every example in the help of tkms works with the documented cluster', { timeout: TEST_TIMEOUT_MS }, async () => {
  const place = await programDirectory('tkms')
  await writeFile(join(place, 'secret.txt'), 'a secret\n')
  const examples = await examplesOf('tkms')
  const order = ['keygen', 'encrypt', 'verify', 'follow', 'grant', 'request', 'decrypt']
  expect(new Set(examples.map(([command]) => command))).toEqual(new Set(order))
  let owner = ''
  let recipient = ''
  for (const example of examples.toSorted(([a = ''], [b = '']) => order.indexOf(a) - order.indexOf(b))) {
    if (example[0] === 'decrypt') await rm(join(place, 'secret.txt'))
    const args = example.map((word) => word.replace('ed25519:<key>', owner).replace('spki-sha256:<hash>', recipient))
    const { code, stdout, stderr } = await runProgram('tkms', args, place)
    expect({ example, code, stderr: code === 0 ? '' : stderr }).toEqual({ example, code: 0, stderr: '' })
    if (stdout.startsWith('ed25519:')) owner = stdout.trim()
    if (stdout.startsWith('spki-sha256:')) recipient = stdout.trim()
  }
  expect(await readFile(join(place, 'secret.txt'), 'utf8')).toBe('a secret\n')
})

test('the program of the README runs as it stands', { timeout: TEST_TIMEOUT_MS }, async () => {
  const [, snippet] = /^```ts\n([\s\S]*?)^```$/m.exec(readme) ?? []
  if (snippet === undefined) throw new Error('the README has no program')
  const place = await programDirectory('program')
  await symlink(resolve(import.meta.dirname, '../node_modules'), join(place, 'node_modules'))
  await writeFile(join(place, 'package.json'), '{ "type": "module" }\n')
  await writeFile(join(place, 'main.ts'), snippet)
  const { stdout } = await execute(process.execPath, ['main.ts'], { cwd: place, timeout: COMMAND_TIMEOUT_MS })
  expect(stdout).toBe('attack at dawn\n')
})
