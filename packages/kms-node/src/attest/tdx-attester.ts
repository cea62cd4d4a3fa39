import { setTimeout as delay } from 'node:timers/promises'
import type { Attester } from '../ports.ts'
import { createTurns } from '../turns.ts'
import { attestError } from './errors.ts'
import { MAX_QUOTE_BYTES } from './quote-bytes.ts'
import { createReportFiles, REPORT_DIRECTORY, type ReportFiles } from './report-files.ts'

const PROVIDER = 'tdx_guest'
const MAX_ATTRIBUTE_BYTES = 64
const MAX_TRIES = 3
const RETRY_MS = 50
const QUOTE_TIMEOUT_MS = 30_000
/** What the kernel says while another write or read is under way. */
const BUSY = new Set<unknown>(['EWOULDBLOCK', 'EAGAIN', 'EBUSY', 'EINTR'])

/** What it says to a node that root did not let in. */
const CLOSED = new Set<unknown>(['EACCES', 'EPERM', 'EROFS'])

/**
 * Quotes of the TDX module through configfs-tsm, in the one directory that root made for the node and that stays. The kernel's count of
 * writes tells whether somebody else wrote in between. The host may take seconds over a quote, so one is asked for at a time.
 * @param options.files default: those of `REPORT_DIRECTORY`
 * @param options.timeoutMs for one quote, with the wait for its turn
 */
export function createTdxAttester(
  options: { readonly files?: ReportFiles; readonly timeoutMs?: number } = {},
): Attester {
  const { files = createReportFiles(REPORT_DIRECTORY), timeoutMs = QUOTE_TIMEOUT_MS } = options
  const inTurn = createTurns()
  return {
    provider: 'tdx',
    quote: async (reportData, signal) => {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
      try {
        // Whoever leaves does not take the turn along: the kernel is still at it, and each read of it takes a thread.
        return await Promise.race([inTurn(() => askKernel(files, reportData, limit)), aborted(limit)])
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : 'it failed'
        throw attestError('attestation-unavailable', `no TDX quote: ${reason}`, { cause })
      }
    },
  }
}

/** A read that the kernel does not finish cannot be broken off: its caller is not kept waiting for it. */
const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => {
    const stop = (): void => reject(new Error('it takes too long, or nobody waits for it any more'))
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })

async function askKernel(files: ReportFiles, reportData: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
  signal.throwIfAborted()
  const provider = await readText(files, 'provider')
  if (provider !== PROVIDER) throw new Error(`the kernel's provider is "${provider}", not "${PROVIDER}"`)
  for (let tried = 0; tried < MAX_TRIES; tried++) {
    if (tried > 0) await delay(RETRY_MS, undefined, { signal })
    signal.throwIfAborted()
    const quote = await readQuote(files, reportData)
    if (quote !== undefined) return quote
  }
  throw new Error('others kept writing to the same report')
}

/** @returns undefined where another write came in between */
async function readQuote(files: ReportFiles, reportData: Uint8Array): Promise<Uint8Array | undefined> {
  try {
    const before = await readGeneration(files)
    await files.write('inblob', reportData)
    const quote = await files.read('outblob', MAX_QUOTE_BYTES)
    if ((await readGeneration(files)) !== before + 1) return undefined
    if (quote.length === 0) throw new Error('the kernel gave no bytes')
    return quote
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (BUSY.has(code)) return undefined
    if (CLOSED.has(code))
      throw new Error('the report directory is closed to this node: as root run prepare-report.sh', { cause })
    throw cause
  }
}

const readText = async (files: ReportFiles, attribute: string): Promise<string> =>
  new TextDecoder().decode(await files.read(attribute, MAX_ATTRIBUTE_BYTES)).trim()

async function readGeneration(files: ReportFiles): Promise<number> {
  const text = await readText(files, 'generation')
  if (!/^[0-9]{1,15}$/.test(text)) throw new Error('the generation is no number')
  return Number(text)
}
