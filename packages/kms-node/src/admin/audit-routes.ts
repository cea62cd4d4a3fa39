import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { bytesKey } from '@tkms/dkg'
import { z } from 'zod'
import type { StoredRecord } from '../audit/database.ts'
import { describeHead } from '../audit/describe-record.ts'
import type { Audit } from '../audit/open-audit.ts'
import { readLog } from '../audit/read-log.ts'

const hex = (bytes: Uint8Array): string => `0x${bytesKey(bytes)}`
const archiveSchema = z.strictObject({
  count: z.int().min(1),
  hash: z
    .string()
    .regex(/^0x[0-9a-f]{64}$/)
    .transform((text): Uint8Array => Uint8Array.from(Buffer.from(text.slice(2), 'hex'))),
})
const rangeSchema = z.strictObject({
  from: z.coerce.number().pipe(z.int().min(0)),
  to: z.coerce.number().pipe(z.int().min(0)).optional(),
  follow: z.literal('1').optional(),
})

/** What `GET /audit` says: the log's signed head, what of it is anchored, where it begins here, and whether it can be written. */
export function describeAudit(audit: Audit): object {
  const problem = audit.problem()
  return {
    head: describeHead(audit.head()),
    anchored: describeHead(audit.anchored),
    base: { count: audit.base.count, hash: hex(audit.base.hash) },
    recording: problem === undefined,
    ...(problem !== undefined && { problem }),
  }
}

/** `POST /audit/archive`: removes some of the records before this point. @returns where the log begins now */
export async function archiveAudit(audit: Audit, body: unknown): Promise<object> {
  const { count, hash } = await audit.archive(archiveSchema.parse(body))
  return { base: { count, hash: hex(hash) } }
}

/** `GET /audit/records?from=N[&to=N][&follow=1]`: one record per line; with `follow` every new one, until the caller goes. */
export async function streamRecords(audit: Audit, params: URLSearchParams, response: ServerResponse): Promise<void> {
  const { from, to = Number.MAX_SAFE_INTEGER, follow } = rangeSchema.parse(Object.fromEntries(params))
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const send = async ({ seq, record, hash }: StoredRecord): Promise<void> => {
    const line = `${JSON.stringify({ seq, record: hex(record), hash: hex(hash) })}\n`
    if (!response.write(line)) await once(response, 'drain', { signal: gone.signal })
  }
  let next = from
  try {
    for (;;) {
      const appended = nextAppend(audit, gone.signal)
      for await (const stored of readLog(audit, next, to)) {
        gone.signal.throwIfAborted()
        await send(stored)
        next = stored.seq + 1
      }
      if (follow === undefined) break
      await appended
      gone.signal.throwIfAborted()
    }
    response.end()
  } catch (cause) {
    if (!gone.signal.aborted) throw cause
  } finally {
    gone.abort()
  }
}

/** Resolves with the next record that comes from now on, or when the caller goes. */
function nextAppend(audit: Audit, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      unsubscribe()
      signal.removeEventListener('abort', end)
      resolve()
    }
    const unsubscribe = audit.subscribe(end)
    signal.addEventListener('abort', end)
  })
}
