import { createReadStream } from 'node:fs'
import { once } from 'node:events'
import { bytesKey, equalBytes, KmsError, type SignedAuditHead } from '@tkms/dkg'
import { z } from 'zod'
import type { LogPoint, StoredRecord } from './database.ts'
import { describeHead, describeStored } from './describe-record.ts'
import { auditError, brokenLog } from './errors.ts'
import type { ClaimedHead } from './verify-log.ts'

/** The longest line: a record of 256 items with its description. */
const MAX_LINE_LENGTH = 256 * 1024

const hexBytes = z
  .string()
  .regex(/^0x(?:[0-9a-f]{2})*$/)
  .transform((text): Uint8Array => Uint8Array.from(Buffer.from(text.slice(2), 'hex')))
const beginSchema = z.looseObject({
  kind: z.literal('tkms-audit'),
  version: z.literal(1),
  from: z.int().min(0),
  previous: hexBytes.refine(({ length }) => length === 32),
})
const recordSchema = z.looseObject({ seq: z.int().min(0), record: hexBytes, hash: hexBytes })
const headSchema = z.looseObject({ kind: z.literal('head'), head: hexBytes, signature: hexBytes })

/** The lines of an export: where it begins, the records, the signed head that they lead to; one JSON object each. */
export async function* exportLines(content: {
  readonly base: LogPoint
  readonly records: AsyncIterable<StoredRecord>
  readonly head: SignedAuditHead
}): AsyncGenerator<string> {
  yield `${JSON.stringify(describeBegin(content.base))}\n`
  for await (const stored of content.records) yield `${JSON.stringify(describeStored(stored))}\n`
  yield headLine(content.head)
}

/** The last line of an export, and all of a file that keeps a head. */
export const headLine = (head: SignedAuditHead): string => `${JSON.stringify(describeHead(head))}\n`

const describeBegin = ({ count, hash }: LogPoint): object => ({
  kind: 'tkms-audit',
  version: 1,
  from: count,
  previous: `0x${bytesKey(hash)}`,
})

/** An export, to be verified: nothing is believed but that it can be read. */
export interface ExportedLog {
  readonly base: LogPoint
  readonly head: SignedAuditHead
  /** Once. @throws KmsError `audit-broken` at a line that says something else than its bytes */
  records(): AsyncGenerator<StoredRecord>
}

/** @throws KmsError `bad-audit-file` when it is not an export */
export async function openExport(file: string): Promise<ExportedLog> {
  const lines = readLines(file)
  const first = await lines.next()
  const begin = first.done === true ? undefined : parsed(beginSchema, first.value)
  if (begin === undefined)
    throw badFile(file, 'does not begin as an export of an audit log (what "audit head" wrote goes behind --head)')
  const head = await readHeadFile(file)
  return {
    base: { count: begin.from, hash: begin.previous },
    head,
    async *records() {
      let at = begin.from
      for await (const line of lines) {
        if (parsed(headSchema, line) !== undefined) return
        const stored = parsed(recordSchema, line)
        if (stored === undefined || !saysItsBytes(stored, line))
          throw brokenLog('unreadable', `what the file says of record ${at} is not what its bytes say`, { at })
        yield stored
        at++
      }
    },
  }
}

/** Exports of one log, each beginning where the one before ends. */
export interface ExportedLogs {
  readonly base: LogPoint
  /** What each of them must lead to. */
  readonly heads: readonly ClaimedHead[]
  /** The head at the end of the last. */
  readonly newest: SignedAuditHead
  /** Once. @throws KmsError `audit-broken`; `bad-range` at a file that does not begin where the one before ends */
  records(): AsyncGenerator<StoredRecord>
}

/** @param files in order, at least one @throws KmsError `bad-audit-file` when one is not an export */
export async function openExports(files: readonly string[]): Promise<ExportedLogs> {
  const logs: (ExportedLog & { readonly file: string })[] = []
  for (const file of files) logs.push({ ...(await openExport(file)), file })
  const [first, last] = [logs[0], logs.at(-1)]
  if (first === undefined || last === undefined) throw badFile('', 'is named nowhere')
  return {
    base: first.base,
    heads: logs.map(({ file, head }) => ({ what: `the head at the end of ${file}`, signed: head })),
    newest: last.head,
    async *records() {
      let reached = first.base
      for (const { file, base, ...log } of logs) {
        if (base.count !== reached.count || !equalBytes(base.hash, reached.hash))
          throw auditError(
            'bad-range',
            `${file} begins at record ${base.count}, and what is before it ends at ${reached.count}: name all files of one log, in order, without a gap`,
            { data: { file, from: base.count, count: reached.count } },
          )
        for await (const stored of log.records()) {
          yield stored
          reached = { count: stored.seq + 1, hash: stored.hash }
        }
      }
    },
  }
}

/** The signed head in the last line of an export or of what `audit head` wrote. @throws KmsError `bad-audit-file` */
export async function readHeadFile(file: string): Promise<SignedAuditHead> {
  let last: string | undefined
  for await (const line of readLines(file)) last = line
  const head = last === undefined ? undefined : parsed(headSchema, last)
  if (head === undefined) throw badFile(file, 'does not end with a signed head')
  return { head: head.head, signature: head.signature }
}

const withoutReturn = (line: string): string => (line.endsWith('\r') ? line.slice(0, -1) : line)

async function* readLines(file: string): AsyncGenerator<string> {
  const input = createReadStream(file, 'utf8')
  try {
    await once(input, 'open')
    let rest = ''
    for await (const chunk of input as AsyncIterable<string>) {
      const [first = '', ...others] = chunk.split('\n')
      const lines = [rest + first, ...others]
      rest = lines.pop() ?? ''
      if ([...lines, rest].some(({ length }) => length > MAX_LINE_LENGTH))
        throw badFile(file, 'has a line that is too long')
      for (const line of lines) yield withoutReturn(line)
    }
    if (rest !== '') yield withoutReturn(rest)
  } catch (cause) {
    if (cause instanceof Error && 'syscall' in cause)
      throw new KmsError('bad-audit-file', `${file} cannot be read`, { cause, data: { file } })
    throw cause
  } finally {
    input.destroy()
  }
}

/** Whoever reads the readable part must not be told something else than the chained bytes say. */
function saysItsBytes(stored: StoredRecord, line: string): boolean {
  try {
    return JSON.stringify(describeStored(stored)) === line
  } catch (cause) {
    if (cause instanceof KmsError) return false
    throw cause
  }
}

function parsed<T>(schema: z.ZodType<T>, line: string): T | undefined {
  try {
    const result = schema.safeParse(JSON.parse(line))
    return result.success ? result.data : undefined
  } catch (cause) {
    if (cause instanceof SyntaxError) return undefined
    throw cause
  }
}

const badFile = (file: string, problem: string): KmsError =>
  new KmsError('bad-audit-file', `${file} ${problem}`, { data: { file } })
