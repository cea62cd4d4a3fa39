import { Dice } from '../model/dice.ts'
import { readCorpus } from './corpus.ts'
import { type ByteTarget, byteTargets, type TextTarget, textTargets } from './decoders.ts'
import { type HttpFuzzTarget, startHttpTarget } from './http-target.ts'
import { mutate } from './mutate.ts'
import { mutateJson } from './mutate-json.ts'

export interface FuzzTally {
  cases: number
  targets: number
  /** Something was thrown that is no typed error, or bytes were read that encode to other bytes. */
  crashes: number
  unhandled: number
  /** HTTP answers of 500 and above, and failures that the server reported. */
  server_errors: number
}

/** One finding: enough to see it again with the same seed. */
export interface Finding {
  readonly target: string
  readonly problem: string
  readonly input: string
}

export interface FuzzTargets {
  readonly bytes: readonly ByteTarget[]
  readonly texts: readonly TextTarget[]
  readonly http: HttpFuzzTarget | undefined
}

export async function openTargets(): Promise<FuzzTargets> {
  const corpus = readCorpus()
  const all = corpus.map(({ bytes }) => bytes)
  return { bytes: byteTargets(corpus), texts: textTargets(corpus), http: await startHttpTarget(all) }
}

/** Of ten cases this many go to the HTTP server, and to readers of JSON. */
const HTTP_OF_TEN = 1
const TEXT_OF_TEN = 2

/**
 * Runs `cases` cases, spread over all targets, from one seed.
 * @param onFinding told of everything that is counted
 */
export async function fuzz(
  targets: FuzzTargets,
  options: {
    readonly cases: number
    readonly seed: number
    readonly onFinding: (finding: Finding) => void
    readonly onProgress?: (done: number) => void
  },
): Promise<FuzzTally> {
  const { bytes, texts, http } = targets
  const dice = new Dice(options.seed)
  const others = bytes.flatMap(({ seeds }) => seeds)
  const tally: FuzzTally = {
    cases: 0,
    targets: bytes.length + texts.length + (http === undefined ? 0 : 1),
    crashes: 0,
    unhandled: 0,
    server_errors: 0,
  }
  const onUnhandled = (reason: unknown): void => {
    tally.unhandled++
    options.onFinding({ target: 'process', problem: `unhandled: ${String(reason)}`, input: '' })
  }
  process.on('unhandledRejection', onUnhandled)
  process.on('uncaughtException', onUnhandled)
  const crash = (target: string, problem: string, input: Uint8Array | string): void => {
    tally.crashes++
    const shown = typeof input === 'string' ? input.slice(0, 400) : Buffer.from(input.subarray(0, 400)).toString('hex')
    options.onFinding({ target, problem, input: shown })
  }
  try {
    for (; tally.cases < options.cases; tally.cases++) {
      if (tally.cases % 1_000 === 0) {
        options.onProgress?.(tally.cases)
        await new Promise((resolve) => setImmediate(resolve))
      }
      const turn = tally.cases % 10
      if (turn < HTTP_OF_TEN && http !== undefined) await fuzzHttp(http, dice, tally, options.onFinding)
      else if (turn < HTTP_OF_TEN + TEXT_OF_TEN && texts.length > 0) fuzzText(dice.pick(texts), dice, crash)
      else fuzzBytes(dice.pick(bytes), dice, { others, crash })
    }
    if (http !== undefined) tally.server_errors += http.internalErrors.length
    for (const cause of http?.internalErrors ?? [])
      options.onFinding({ target: 'http', problem: `the server failed: ${String(cause)}`, input: '' })
    // What was thrown in a timer of the last case.
    await new Promise((resolve) => setTimeout(resolve, 10))
    return tally
  } finally {
    process.off('unhandledRejection', onUnhandled)
    process.off('uncaughtException', onUnhandled)
  }
}

/** A KmsError, of the sources or of the compiled package. */
const isTyped = (error: unknown): boolean => error instanceof Error && error.name === 'KmsError' && 'code' in error

type Crash = (target: string, problem: string, input: Uint8Array | string) => void

function fuzzBytes(
  target: ByteTarget,
  dice: Dice,
  { others, crash }: { readonly others: readonly Uint8Array[]; readonly crash: Crash },
): void {
  const input = mutate(dice, target.seeds, others)
  const before = Uint8Array.from(input)
  try {
    const again = target.run(input)
    if (again !== undefined && Buffer.compare(again, before) !== 0)
      crash(target.name, 'read bytes that encode to other bytes', before)
  } catch (error) {
    if (!isTyped(error)) crash(target.name, String(error instanceof Error ? error.stack : error), before)
  }
}

function fuzzText(target: TextTarget, dice: Dice, crash: Crash): void {
  const text = mutateJson(dice, dice.pick(target.seeds))
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // No JSON: no business of the target.
    return
  }
  try {
    const formatted = JSON.stringify(target.run(value))
    const again = JSON.stringify(target.run(JSON.parse(formatted)))
    if (again !== formatted) crash(target.name, 'formats to something else when read again', text)
  } catch (error) {
    if (!isTyped(error)) crash(target.name, String(error instanceof Error ? error.stack : error), text)
  }
  if (({} as { polluted?: unknown }).polluted !== undefined) crash(target.name, 'changed Object.prototype', text)
}

async function fuzzHttp(
  http: HttpFuzzTarget,
  dice: Dice,
  tally: FuzzTally,
  onFinding: (finding: Finding) => void,
): Promise<void> {
  const { status, text } = await http.run(dice)
  if (status === undefined || status < 500) return
  tally.server_errors++
  onFinding({ target: 'http', problem: `answered ${status}`, input: text.slice(0, 400) })
}
