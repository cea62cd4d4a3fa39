import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const TOOL_TIMEOUT_MS = 20_000
const START_TIMEOUT_MS = 20_000

/** Why a TPM cannot be had here; `undefined` when it can. */
export async function tpmMissing(): Promise<string | undefined> {
  try {
    await execute('swtpm', ['--version'], { timeout: TOOL_TIMEOUT_MS })
    await execute('tpm2_getcap', ['--version'], { timeout: TOOL_TIMEOUT_MS })
    return undefined
  } catch (cause) {
    return `swtpm and tpm2-tools do not run here: ${String(cause).split('\n')[0]}`
  }
}

/** A TPM 2.0 in software, as a process that can be ended and started again on the same state: a reboot. */
export interface TestTpm {
  readonly tcti: string
  /** Keeps the TPM's permanent state: seeds, NV indices. */
  readonly state: string
  /** What a tool writes to standard output. */
  run(tool: string, ...args: readonly string[]): Promise<string>
  /** Extends PCRs 0 to 7 as a firmware does that measures `system`. */
  measure(system: string): Promise<void>
  /** A clean shutdown; SIGKILL: power failure. */
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>
  /** Power on: the PCRs are empty, and nothing is loaded. */
  start(): Promise<void>
}

/** Makes a TPM with new seeds, or takes the state that is there; it runs. @param directory short: a socket lies in it */
export async function createTestTpm(directory: string): Promise<TestTpm> {
  const state = join(directory, 'state')
  const socket = join(directory, 'tpm')
  const tcti = `swtpm:path=${socket}`
  let child: ChildProcess | undefined
  await mkdir(state, { recursive: true, mode: 0o700 })

  const run = async (tool: string, ...args: readonly string[]): Promise<string> => {
    const env = { PATH: process.env['PATH'] ?? '', TPM2TOOLS_TCTI: tcti }
    return (await execute(tool, args, { env, timeout: TOOL_TIMEOUT_MS })).stdout
  }
  const start = async (): Promise<void> => {
    for (const path of [socket, `${socket}.ctrl`]) await rm(path, { force: true })
    const server = ['--server', `type=unixio,path=${socket},mode=0600`]
    const control = ['--ctrl', `type=unixio,path=${socket}.ctrl,mode=0600`]
    const args = ['socket', '--tpm2', '--tpmstate', `dir=${state}`, ...server, ...control, '--flags', 'startup-clear']
    child = spawn('swtpm', args, { stdio: 'ignore' })
    const limit = AbortSignal.timeout(START_TIMEOUT_MS)
    for (;;) {
      const answers = await run('tpm2_getrandom', '--hex', '4').then(
        () => true,
        () => false,
      )
      if (answers) return
      if (limit.aborted || child.exitCode !== null) throw new Error(`swtpm does not start: exit code ${child.exitCode}`)
    }
  }
  await start()
  return {
    tcti,
    state,
    run,
    start,
    async measure(system) {
      const digest = Buffer.from(system.padEnd(32, '.')).subarray(0, 32).toString('hex')
      await run('tpm2_pcrextend', ...[0, 1, 2, 3, 4, 5, 6, 7].map((pcr) => `${pcr}:sha256=${digest}`))
    },
    async stop(signal = 'SIGTERM') {
      const ending = child
      child = undefined
      if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
      const ended = once(ending, 'exit')
      ending.kill(signal)
      await ended
    },
  }
}

/** NV indices, as tools take them. */
export const countersOf = async (tpm: TestTpm): Promise<readonly string[]> =>
  [...(await tpm.run('tpm2_getcap', 'handles-nv-index')).matchAll(/0x([0-9A-Fa-f]+)/g)].map(
    ([, digits = '']) => `0x${digits.toLowerCase().padStart(8, '0')}`,
  )

/**
 * Puts scripts before the tools that a sealer runs, in this process and those that it starts.
 * @param lines the script of a tool; `real` is the folder of the real ones
 */
export async function withTools(
  directory: string,
  lines: (tool: string, real: string) => string,
  use: () => Promise<void>,
): Promise<void> {
  const tools = await mkdtemp(join(directory, 'tools-'))
  const path = process.env['PATH'] ?? ''
  const { stdout } = spawnSync('sh', ['-c', 'dirname "$(command -v tpm2_unseal)"'], { encoding: 'utf8' })
  for (const tool of TOOLS) await writeFile(join(tools, tool), lines(tool, stdout.trim()), { mode: 0o755 })
  process.env['PATH'] = `${tools}:${path}`
  try {
    await use()
  } finally {
    process.env['PATH'] = path
  }
}

const TOOLS = [
  'createprimary',
  'create',
  'load',
  'startauthsession',
  'policypcr',
  'unseal',
  'flushcontext',
  'nvdefine',
  'nvundefine',
  'nvincrement',
  'nvread',
  'nvreadpublic',
  'pcrread',
].map((name) => `tpm2_${name}`)
