import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { concatBytes } from '@noble/hashes/utils.js'
import { KmsError, Secret } from '@tkms/dkg'

const TOOL_TIMEOUT_MS = 30_000
const MAX_OUTPUT_BYTES = 16 * 1024
const MAX_SAID_CHARS = 400

export interface ToolCall {
  /** "tpm2_unseal", found on the PATH. */
  readonly tool: string
  /** Seen by every user of the machine: never a secret. */
  readonly args: readonly string[]
  /** Goes to its standard input; borrowed. */
  readonly input?: Secret
}

/** Runs tpm2-tools in a directory of its own, one after the other. */
export interface Tpm2Tools {
  /** What it writes to standard output, at most 16 KiB. @throws KmsError `tpm-refused`, `tpm-unavailable` */
  run(call: ToolCall): Promise<Secret>
  /**
   * Lends an empty directory for contexts and blobs, which are public or encrypted by the TPM, and forgets what was loaded into it
   * afterwards. One use at a time.
   */
  session<T>(use: (directory: string) => Promise<T>): Promise<T>
}

/**
 * @param options.tcti how the tools reach the TPM (man tpm2_options), such as "device:/dev/tpmrm0"
 * @param options.path default: PATH of this process
 */
export function createTpm2Tools(options: { readonly tcti: string; readonly path?: string | undefined }): Tpm2Tools {
  const { tcti, path = process.env['PATH'] } = options
  let queue: Promise<unknown> = Promise.resolve()
  const run = (call: ToolCall): Promise<Secret> =>
    runTool(call, { PATH: path ?? '', TPM2TOOLS_TCTI: tcti, LC_ALL: 'C' })

  const use = async <T>(work: (directory: string) => Promise<T>): Promise<T> => {
    const directory = await mkdtemp(join(tmpdir(), 'tkms-tpm-'))
    try {
      return await work(directory)
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }
  return {
    run,
    session(work) {
      const result = queue.then(() => use(work))
      // The next use begins whatever became of this one; its own caller sees its error.
      queue = result.catch(() => undefined)
      return result
    },
  }
}

function runTool({ tool, args, input }: ToolCall, env: Readonly<Record<string, string>>): Promise<Secret> {
  return new Promise((resolve, reject) => {
    const child = spawn(tool, args, {
      env,
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: TOOL_TIMEOUT_MS,
      killSignal: 'SIGKILL',
    })
    const output: Buffer[] = []
    let length = 0
    let said = ''
    const wipe = (): void => {
      for (const chunk of output) chunk.fill(0)
      copy?.fill(0)
    }
    let copy: Buffer | undefined
    child.once('error', (cause) => {
      wipe()
      reject(notThere(tool, cause))
    })
    child.stdout.on('data', (chunk: Buffer) => {
      length += chunk.length
      output.push(chunk)
      if (length > MAX_OUTPUT_BYTES) child.kill('SIGKILL')
    })
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      if (said.length < MAX_OUTPUT_BYTES) said += chunk
    })
    // A tool that ends before it has read everything says in its exit code what was wrong.
    child.stdin.on('error', () => undefined)
    if (input === undefined) child.stdin.end()
    else
      input.use((bytes) => {
        copy = Buffer.from(bytes)
        child.stdin.end(copy)
      })
    child.once('close', (code, signal) => {
      if (code === 0 && length <= MAX_OUTPUT_BYTES) resolve(new Secret(concatBytes(...output)))
      else reject(refused(tool, signal === null ? `exit code ${code}` : 'it took too long or said too much', said))
      wipe()
    })
  })
}

const notThere = (tool: string, cause: unknown): KmsError =>
  new KmsError('tpm-unavailable', `${tool} cannot be run: is the package tpm2-tools installed?`, {
    cause,
    data: { tool },
  })

/** What the tools say when they do not reach a TPM at all. */
const NO_TPM = /tcti|Could not (?:open|load|connect)|Failed to open|Connection refused|No such (?:file|device)/i

function refused(tool: string, ending: string, said: string): KmsError {
  const reason = said.trim().split('\n').slice(0, 3).join(' | ').slice(0, MAX_SAID_CHARS)
  const data = { tool, reason }
  if (NO_TPM.test(said))
    return new KmsError('tpm-unavailable', `${tool} does not reach the TPM: ${reason}`, { data, retryable: true })
  return new KmsError('tpm-refused', `${tool}: ${ending}: ${reason}`, { data })
}
