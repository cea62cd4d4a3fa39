import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Ended, finished, procedurePath } from './services.ts'

/** A machine on which the only real thing is the procedure: its `kms-node` and its service say what the test writes down. */

/** Answers by the beginning of the command, the longest first; a list is used up, its last answer stays. */
const PROGRAM = `
const { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } = require('node:fs')
const { dirname, join } = require('node:path')
const place = process.env.MACHINE
const words = process.argv.slice(2)
const line = words.join(' ')
appendFileSync(join(place, 'commands'), line + '\\n')
const answers = JSON.parse(readFileSync(join(place, 'answers.json'), 'utf8'))
const known = Object.keys(answers).filter((start) => line.startsWith(start)).sort((a, b) => b.length - a.length)[0]
const listed = known === undefined ? [{}] : answers[known]
const answer = listed[0]
if (listed.length > 1) {
  listed.shift()
  writeFileSync(join(place, 'answers.json'), JSON.stringify(answers))
}
for (const [file, text] of Object.entries(answer.writes ?? {})) {
  const path = file === '--to' ? words[words.indexOf('--to') + 1] : join(place, file)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}
if (answer.prints !== undefined) console.log(JSON.stringify(answer.prints))
process.exitCode = answer.code ?? 0
`

export interface Answer {
  /** On stdout, as one line of JSON. */
  readonly prints?: unknown
  readonly code?: number
  /** Files, by their path on the machine; `--to` is the one that the command names. */
  readonly writes?: Readonly<Record<string, string>>
}

export interface ProcedureMachine {
  readonly directory: string
  /** From now on: the beginning of a command -> what it answers, one call after the other. */
  answer(answers: Readonly<Record<string, readonly Answer[]>>): Promise<void>
  run(script: string, ...args: readonly string[]): Promise<Ended>
  /** What was asked of `kms-node` and of the service since the last call, in order. */
  commands(): Promise<readonly string[]>
  dispose(): Promise<void>
}

/** @param node name of the node of this machine; its data directory is `data`, its program the link `program` to `release-1` */
export async function createProcedureMachine(node: string): Promise<ProcedureMachine> {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-machine-'))
  const release = join(directory, 'release-1')
  await mkdir(join(release, 'bin'), { recursive: true })
  await mkdir(join(release, 'dist/bin'), { recursive: true })
  await mkdir(join(directory, 'data'))
  await symlink(process.execPath, join(release, 'bin/node'))
  await symlink(release, join(directory, 'program'))
  await writeFile(join(release, 'package.json'), '{}')
  await writeFile(join(release, 'dist/bin/kms-node.js'), PROGRAM)
  await writeFile(join(directory, 'data/card.json'), JSON.stringify({ name: node }))
  await writeFile(
    join(directory, 'service'),
    '#!/usr/bin/env bash\nexec "$TKMS_PROGRAM/bin/node" "$TKMS_PROGRAM/dist/bin/kms-node.js" service "$1"\n',
    { mode: 0o755 },
  )
  const answers = join(directory, 'answers.json')
  const commands = join(directory, 'commands')
  await writeFile(answers, '{}')
  return {
    directory,
    answer: (next) => writeFile(answers, JSON.stringify(next)),
    run: (script, ...args) =>
      finished(procedurePath(script), args, {
        ...process.env,
        MACHINE: directory,
        TKMS_DATA_DIR: join(directory, 'data'),
        TKMS_PROGRAM: join(directory, 'program'),
        TKMS_SERVICE: join(directory, 'service'),
        TKMS_WAIT: '1',
      }),
    commands: async () => {
      const text = await readFile(commands, 'utf8').catch(() => '')
      await rm(commands, { force: true })
      return text.split('\n').filter((line) => line !== '')
    },
    dispose: () => rm(directory, { recursive: true, force: true }),
  }
}
