import { createWriteStream } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { decodeAuditHead, KmsError } from '@tkms/dkg'
import type { Command } from 'commander'
import type { LogPoint } from '../audit/database.ts'
import { exportLines, openExport } from '../audit/export-file.ts'
import { verifyLog } from '../audit/verify-log.ts'
import { isKmsError } from '../errors.ts'
import { type AuditSource, withAuditSource } from './audit-source.ts'
import { span } from './audit-verify.ts'
import { dataDirOf, outputOf } from './options.ts'
import { COMMAND } from './output.ts'

/** `audit export`. */
export async function exportLog(
  { out, from }: { readonly out: string; readonly from?: number },
  command: Command,
): Promise<void> {
  await withAuditSource(command, async (source) => {
    const { count: end } = decodeAuditHead(source.head.head)
    const base = await pointBefore(source, from ?? source.base.count, end)
    await writeChecked(out, source, base)
    outputOf(command).result({ out, from: base.count, count: end }, [
      `${out}: ${span(base.count, end)} with the signed head`,
      `Anybody can check it: ${COMMAND} audit verify ${out} --cluster cluster.json`,
    ])
  })
}

/** `audit archive`: nothing is removed before the file is whole, checked and on the disk. */
export async function archiveLog({ out }: { readonly out: string }, command: Command): Promise<void> {
  const output = outputOf(command)
  await withAuditSource(command, async (source) => {
    const { base, archive } = source
    if (archive === undefined)
      throw new KmsError('node-not-running', 'only a running node archives its log: start it, and archive again')
    const { count: end, hash } = decodeAuditHead(source.head.head)
    if (end === base.count)
      throw new KmsError('bad-range', `the log has no record after number ${end}: there is nothing to archive`, {
        data: { count: end },
      })
    await writeChecked(out, source, base)
    let begins = base
    for (let last = -1; begins.count < end && begins.count > last; begins = await archive({ count: end, hash })) {
      last = begins.count
      output.hint(`${out} is whole; the node removes its records: ${begins.count - base.count} of ${end - base.count}`)
    }
    if (begins.count < end)
      throw new KmsError('audit-io', `the node still has records from ${begins.count} on: archive again`)
    output.result({ out, from: base.count, count: end }, [
      `${out}: ${span(base.count, end)} with the signed head; the node does not have them any more, so keep this file`,
      `Anybody can check it: ${COMMAND} audit verify ${out} --cluster cluster.json`,
      `That the log goes on from it: ${COMMAND} audit verify --head ${out} --data-dir ${dataDirOf(command)}`,
    ])
  })
}

/** What was written is what the node signed, or there is no file. @throws KmsError `audit-broken`, `output-exists`, `cannot-write` */
async function writeChecked(out: string, source: AuditSource, base: LogPoint): Promise<void> {
  const { count: end } = decodeAuditHead(source.head.head)
  await writeNew(out, exportLines({ base, records: source.records(base.count, end), head: source.head }))
  try {
    const written = await openExport(out)
    const heads = [{ what: 'its signed head', signed: written.head }]
    await verifyLog({ owner: source.owner, base: written.base, heads }, written.records())
  } catch (cause) {
    await rm(out, { force: true })
    throw cause
  }
}

/** Where record `at` begins. @throws KmsError `bad-range` before the first record that is there, and behind the `end` */
async function pointBefore(source: AuditSource, at: number, end: number): Promise<AuditSource['base']> {
  const { base } = source
  if (at > end)
    throw new KmsError('bad-range', `the log of this node ends before record ${end}: export from there at the latest`, {
      data: { count: end },
    })
  if (at < base.count)
    throw new KmsError('bad-range', `the log of this node begins at record ${base.count}`, {
      data: { from: base.count },
    })
  if (at === base.count) return base
  for await (const stored of source.records(at - 1, at)) return { count: at, hash: stored.hash }
  throw new KmsError('audit-broken', `record ${at - 1} is missing`, { data: { reason: 'chain', at: at - 1 } })
}

/** Requesters are named in it: for its owner alone. On the disk when it returns. @throws KmsError `output-exists`, `cannot-write`, and what `lines` throws */
export async function writeNew(path: string, lines: Iterable<string> | AsyncIterable<string>): Promise<void> {
  let made = false
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600, flush: true })
  file.once('open', () => {
    made = true
  })
  try {
    await pipeline(Readable.from(lines), file)
    await syncDirectory(dirname(path))
  } catch (cause) {
    if (made) await rm(path, { force: true })
    if (isKmsError(cause)) throw cause
    const exists = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
    if (exists) throw new KmsError('output-exists', `${path} exists: choose another name`, { cause, data: { path } })
    throw new KmsError('cannot-write', `${path} cannot be written`, { cause, data: { path } })
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
