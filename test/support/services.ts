import { execFile } from 'node:child_process'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { PROGRAMS } from '@tkms/examples/programs'
import type { TestNode } from './node-cluster.ts'

/** What the procedures of `deploy/procedures` find on the machines of operators: a program, a service, and a way to run a command there. */

const root = resolve(import.meta.dirname, '../..')
const execute = promisify(execFile)
const PROCEDURE_TIMEOUT_MS = 300_000
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024

/** In place of systemd: one process of this machine, ended by SIGTERM and waited for. It may be a zombie of nobody who waits. */
const SERVICE = `#!/usr/bin/env bash
set -euo pipefail
pid_file=$TKMS_DATA_DIR.pid
runs() { [[ -f $pid_file && -e /proc/$(<"$pid_file")/exe ]]; }
case $1 in
start)
  setsid "$TKMS_PROGRAM/bin/node" "$TKMS_PROGRAM/dist/bin/kms-node.js" start --data-dir "$TKMS_DATA_DIR" >>"$TKMS_DATA_DIR.log" 2>&1 </dev/null &
  echo $! >"$pid_file"
  ;;
stop)
  if runs; then kill -TERM "$(<"$pid_file")"; fi
  while runs; do sleep 0.05; done
  ;;
is-active) runs ;;
esac
`

/** In place of ssh: the machine of a node, by its name, as far as procedures know it. */
const ON = `#!/usr/bin/env bash
set -euo pipefail
place=$(cd "$(dirname "$0")" && pwd)
export TKMS_DATA_DIR=$place/$1 TKMS_PROGRAM=$place/$1.program TKMS_SERVICE=$place/service
shift
exec "$@"
`

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Machines of one cluster in one directory: each node has a link to its program, and is a service. */
export interface Services {
  /** A directory with a program as install-program.sh makes one; `main` takes the place of kms-node. */
  release(name: string, main?: string): Promise<string>
  /** Gives a node its machine. */
  equip(node: Pick<TestNode, 'directory'>, release: string): Promise<void>
  /** A procedure on the machine of a node: name of the script and its arguments. */
  procedure(node: Pick<TestNode, 'name'>, script: string, ...args: readonly string[]): Promise<Ended>
  /** The same, to be watched while it runs. */
  environment(node: Pick<TestNode, 'directory'>): NodeJS.ProcessEnv
  service(node: Pick<TestNode, 'directory'>, action: 'start' | 'stop'): Promise<void>
  /** In `in-turn.sh` what comes before `{}`. */
  readonly on: string
  log(node: Pick<TestNode, 'directory'>): Promise<string>
  /** The process that runs, or ran last. */
  pid(node: Pick<TestNode, 'directory'>): Promise<number>
}

export const procedurePath = (script: string): string => join(root, 'deploy/procedures', script)

/** @param options.environment settings of every node and command */
export async function createServices(options: {
  readonly directory: string
  readonly environment: Readonly<Record<string, string>>
}): Promise<Services> {
  const { directory } = options
  const [on, service] = [join(directory, 'on'), join(directory, 'service')]
  await writeFile(on, ON, { mode: 0o755 })
  await writeFile(service, SERVICE, { mode: 0o755 })
  const environment = (node: Pick<TestNode, 'directory'>): NodeJS.ProcessEnv => ({
    ...process.env,
    ...options.environment,
    TKMS_DATA_DIR: node.directory,
    TKMS_PROGRAM: `${node.directory}.program`,
    TKMS_SERVICE: service,
  })
  return {
    on,
    environment,
    release: async (name, main) => {
      const release = join(directory, name)
      await mkdir(join(release, 'bin'), { recursive: true })
      await symlink(process.execPath, join(release, 'bin/node'))
      const built = dirname(dirname(PROGRAMS['kms-node']))
      if (main === undefined) await symlink(built, join(release, 'dist'))
      else {
        await mkdir(join(release, 'dist/bin'), { recursive: true })
        await writeFile(join(release, 'dist/bin/kms-node.js'), main)
      }
      return release
    },
    equip: (node, release) => symlink(release, `${node.directory}.program`),
    procedure: (node, script, ...args) =>
      finished(on, [node.name, procedurePath(script), ...args], { ...process.env, ...options.environment }),
    service: async (node, action) => {
      await execute(service, [action], { env: environment(node), timeout: PROCEDURE_TIMEOUT_MS })
    },
    log: (node) => readFile(`${node.directory}.log`, 'utf8'),
    pid: async (node) => Number(await readFile(`${node.directory}.pid`, 'utf8')),
  }
}

/** How a program ended, whatever its exit code. */
export async function finished(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Ended> {
  const limits = { env, timeout: PROCEDURE_TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES }
  return execute(program, [...args], limits).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (cause: unknown) => {
      const { code, stdout = '', stderr = '' } = cause as { code?: unknown; stdout?: string; stderr?: string }
      return { code: typeof code === 'number' ? code : -1, stdout, stderr }
    },
  )
}
