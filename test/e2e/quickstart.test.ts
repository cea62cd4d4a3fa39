import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { descendants, gone, hasProc } from '../support/processes.ts'

const execute = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
const RUN_TIMEOUT_MS = 180_000
const GONE_TIMEOUT_MS = 30_000

/** The quickstart as a person would see it, with a cheap passphrase hash. */
interface Quickstart {
  readonly child: ChildProcess
  output(): string
  /** Resolves when the output has this text; rejects when the process ends before. */
  printed(text: string): Promise<void>
  /** Exit code or signal. */
  readonly ended: Promise<number | string | null>
}

let directory: string
const running = new Set<ChildProcess>()

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms quickstart '))
})

afterEach(async () => {
  for (const child of running) child.kill('SIGKILL')
  running.clear()
  await rm(directory, { recursive: true, force: true })
})

function quickstart(...args: readonly string[]): Quickstart {
  const env = { ...process.env, TMPDIR: directory, INIT_CWD: directory, TKMS_SEALER_SCRYPT_LOG_N: '10' }
  const child = spawn(process.execPath, ['examples/quickstart/main.ts', ...args], { cwd: root, env, stdio: 'pipe' })
  running.add(child)
  let text = ''
  const waiting = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      for (const check of waiting) check()
    })
  const ended = once(child, 'close').then(([code, signal]: (number | string | null)[]) => {
    running.delete(child)
    return code ?? signal ?? null
  })
  const printed = async (wanted: string): Promise<void> => {
    const seen = new Promise<true>((found) => {
      const check = (): void => {
        if (text.includes(wanted)) found(true)
      }
      waiting.add(check)
      check()
    })
    if ((await Promise.race([seen, ended])) !== true) throw new Error(`it ended without "${wanted}":\n${text}`)
  }
  return { child, output: () => text, printed, ended }
}

const pidOf = ({ child }: Quickstart): number => {
  if (child.pid === undefined) throw new Error('it did not start')
  return child.pid
}

/** Where this run keeps its nodes, taken from what it prints. */
function directoryOf(run: Quickstart): string {
  const [, path] = /(\/\S.*\/tkms-[^/\n]+)\/node-1/.exec(run.output()) ?? []
  if (path === undefined) throw new Error(`no directory in:\n${run.output()}`)
  return path
}

const story = ['opened', 'opened', 'refused', 'opened']
const verdicts = (output: string): readonly string[] =>
  [...output.matchAll(/^ {2}(opened|refused)\b/gm)].flatMap(([, word]) => word ?? [])

test('it opens a file of a path with a space, refuses with two nodes, and with --keep every printed line works as it stands', {
  timeout: RUN_TIMEOUT_MS,
}, async () => {
  const content = 'a file with a space in its name\n'
  await writeFile(join(directory, 'a file.txt'), content)
  const run = quickstart('--file', 'a file.txt', '--keep')
  await run.printed('The cluster keeps running')
  await run.printed('policy check')
  expect(verdicts(run.output())).toEqual(story)
  expect(run.output()).toMatch(/at most 2 of the 3 needed answers/)
  expect(run.output()).toMatch(/group public key {2}0x0[23][0-9a-f]{64}\n/)
  const [, printed = ''] = run.output().split('in this folder:\n')
  const lines = printed.trim().split('\n')
  expect(lines.map((line) => line.split(' ')[0])).toEqual(['curl', 'npm', 'npm', 'npm', 'npm', 'npm'])
  const outputs: string[] = []
  for (const line of lines) {
    const { stdout } = await execute('bash', ['-c', line], { cwd: root, timeout: 60_000 }).catch((cause: unknown) => {
      throw new Error(`this line does not work: ${line}`, { cause })
    })
    outputs.push(stdout)
  }
  const [status = '', keys, , plaintext, audit, policy] = outputs
  expect(JSON.parse(status)).toMatchObject({ name: 'node-1', keys: [{ keyName: 'ecies/quickstart' }] })
  expect(keys).toContain('ecies/quickstart')
  expect(plaintext).toBe(content)
  expect(audit).toContain('the node started')
  expect(policy).toContain('policy.yaml is right')
  expect(await readFile(join(directory, 'a file.txt'), 'utf8')).toBe(content)

  const nodes = hasProc ? await descendants(pidOf(run)) : []
  run.child.kill('SIGINT')
  expect(await run.ended).toBe(0)
  await gone(nodes, GONE_TIMEOUT_MS)
  await expect(access(directoryOf(run))).rejects.toMatchObject({ code: 'ENOENT' })
})

test('SIGTERM at its beginning ends it and removes its directory', async () => {
  const run = quickstart()
  await run.printed('1. 5 nodes')
  run.child.kill('SIGTERM')
  expect(await run.ended).toBe(143)
  expect(run.output()).not.toContain('2. They make the key')
  expect(await readdir(directory)).toEqual([])
})

test.skipIf(!hasProc)('after SIGKILL no process of it is left', async () => {
  const run = quickstart('--keep')
  await run.printed('2. They make the key')
  const started = await descendants(pidOf(run))
  expect(started.length).toBeGreaterThanOrEqual(5)
  run.child.kill('SIGKILL')
  expect(await run.ended).toBe('SIGKILL')
  await gone(started, GONE_TIMEOUT_MS)
})
