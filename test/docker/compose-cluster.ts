import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { PROGRAMS } from '@tkms/examples/programs'

const execute = promisify(execFile)
export const root = resolve(import.meta.dirname, '../..')
export const NODES = ['node-1', 'node-2', 'node-3', 'node-4', 'node-5'] as const
export type NodeName = (typeof NODES)[number]

export const STEP_TIMEOUT_MS = 420_000
export const COMMAND_TIMEOUT_MS = 60_000
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024

export interface CommandResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Of every command; grows by the names, ports and settings of the cluster. */
export const environment: NodeJS.ProcessEnv = { ...process.env }

export async function run(
  program: string,
  args: readonly string[],
  timeoutMs = COMMAND_TIMEOUT_MS,
): Promise<CommandResult> {
  const options = { cwd: root, env: environment, timeout: timeoutMs, maxBuffer: MAX_OUTPUT_BYTES }
  try {
    return { code: 0, ...(await execute(program, [...args], options)) }
  } catch (error) {
    const { code, stdout = '', stderr = '' } = error as { code?: unknown; stdout?: string; stderr?: string }
    return { code: typeof code === 'number' ? code : 1, stdout, stderr: stderr === '' ? String(error) : stderr }
  }
}

export async function succeed(program: string, args: readonly string[], timeoutMs?: number): Promise<string> {
  const { code, stdout, stderr } = await run(program, args, timeoutMs)
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: exit ${code}\n${stderr.slice(-4000)}`)
  return stdout
}

export function expectEqual(actual: unknown, expected: unknown, what: string): void {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)]
  if (left !== right) throw new Error(`${what}: ${left}, expected ${right}`)
}

export async function composeProgram(): Promise<readonly string[] | undefined> {
  const named = process.env['TKMS_COMPOSE']
  if (named !== undefined) return named.split(' ')
  for (const candidate of [['docker', 'compose'], ['docker-compose']] as const)
    if ((await run(candidate[0], [...candidate.slice(1), 'version'])).code === 0) return candidate
  return undefined
}

export class ComposeCluster {
  readonly #program: readonly string[]
  readonly directory: string

  constructor(program: readonly string[], directory: string) {
    this.#program = program
    this.directory = directory
  }

  file(name: string): string {
    return join(this.directory, name)
  }

  /** @param args may begin with further files, laid over the first */
  compose(...args: readonly string[]): Promise<string> {
    const [program = 'docker', ...rest] = this.#program
    return succeed(program, [...rest, '-f', join(root, 'docker/compose.yml'), ...args], STEP_TIMEOUT_MS)
  }

  inside(node: NodeName, ...command: readonly string[]): Promise<string> {
    return this.compose('exec', '-T', node, ...command)
  }

  tkms(...args: readonly string[]): Promise<CommandResult> {
    return run(process.execPath, [PROGRAMS.tkms, ...args])
  }

  async decrypt(): Promise<CommandResult> {
    const options = ['--cluster', this.file('cluster.json'), '--signer', this.file('signer.pem')]
    return this.tkms('decrypt', ...options, this.file('secret.tkms'), '--out', this.file('opened.txt'), '--force')
  }

  async expectOpens(): Promise<void> {
    const { code, stderr } = await this.decrypt()
    if (code !== 0) throw new Error(`decrypt: exit ${code}\n${stderr}`)
    const [sealed, opened] = await Promise.all([readFile(this.file('secret.txt')), readFile(this.file('opened.txt'))])
    expectEqual(opened.equals(sealed), true, 'the opened file is the sealed one')
  }

  async containerOf(node: NodeName): Promise<string> {
    return (await this.compose('ps', '-q', node)).trim()
  }

  /** Waits for the state that Docker's own health check reports. */
  async expectHealthy(nodes: readonly NodeName[]): Promise<void> {
    const deadlineMs = Date.now() + COMMAND_TIMEOUT_MS
    for (const node of nodes) {
      const container = await this.containerOf(node)
      for (;;) {
        const health = (await succeed('docker', ['inspect', '-f', '{{.State.Health.Status}}', container])).trim()
        if (health === 'healthy') break
        if (Date.now() > deadlineMs) throw new Error(`${node} is ${health}`)
        await new Promise((wake) => setTimeout(wake, 500))
      }
    }
  }
}

export type Step = readonly [name: string, check: (cluster: ComposeCluster) => Promise<void>]
