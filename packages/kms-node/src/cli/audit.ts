import { createWriteStream, existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Cluster, decodeAuditHead, decodeAuditRecord, KmsError, type SignedAuditHead } from '@tkms/dkg'
import { Command, InvalidArgumentError } from 'commander'
import type { StoredRecord } from '../audit/database.ts'
import { describeHead, describeStored, formatRecord } from '../audit/describe-record.ts'
import { exportLines, headLine, openExport, readHeadFile } from '../audit/export-file.ts'
import { acceptLoss } from '../audit/open-audit.ts'
import { type ClaimedHead, type VerifiedLog, verifyLog } from '../audit/verify-log.ts'
import { clusterPath, readClusterFile } from '../cluster/cluster-file.ts'
import { isKmsError } from '../errors.ts'
import { type AuditSource, ownerOf, withAuditPorts, withAuditSource } from './audit-source.ts'
import { dataDirOf, outputOf } from './options.ts'
import { COMMAND, EXIT_HELP, type Output } from './output.ts'

const DEFAULT_LINES = 20

/** `audit tail | verify | export | head | accept-loss`: what the node released and refused (interfaces, Audit log). */
export function auditCommand(): Command {
  const audit = new Command('audit').description('the log of everything that this node released and refused')
  audit
    .command('tail')
    .description('show the newest records')
    .option('-n, --lines <number>', 'how many', count, DEFAULT_LINES)
    .option('--follow', 'stay and show every new one; needs a running node')
    .addHelpText('after', help('audit tail --follow --data-dir alice'))
    .action(tail)
  audit
    .command('verify')
    .description('check every record, the chain and the signed head: exit code 0 when the log is whole')
    .argument(
      '[export]',
      'a file that audit export wrote, instead of the log of this node; needs --cluster or --data-dir',
    )
    .option(
      '--head <file>',
      'an earlier head or export that the log must contain: shows that nothing was put back since',
    )
    .option('--cluster <file>', 'the cluster file with the key of the node; the one this node joined unless given')
    .addHelpText(
      'after',
      `${EXIT_HELP}\nA broken log is exit code 1, and the message says at which record.\n\nExamples:\n` +
        `  ${COMMAND} audit verify --head head.json --data-dir alice\n` +
        `  ${COMMAND} audit verify audit.jsonl --cluster cluster.json`,
    )
    .action(verify)
  audit
    .command('export')
    .description('write records with the signed head that they lead to, one JSON object per line, checked on the way')
    .requiredOption('--out <file>', 'must not exist')
    .option('--from <number>', 'the first record; default: all that this node has', count)
    .addHelpText('after', help('audit export --out audit.jsonl --data-dir alice'))
    .action(exportLog)
  audit
    .command('head')
    .description('write the signed head of the log: kept elsewhere, it holds the node to every record so far')
    .requiredOption('--out <file>', 'must not exist')
    .addHelpText('after', help('audit head --out head.json --data-dir alice'))
    .action(writeHead)
  audit
    .command('accept-loss')
    .description('give up a log that is lost for good, so that the stopped node can serve again; the new log says so')
    .requiredOption('--confirm <number>', 'how many records are given up, as the error at the start says', count)
    .addHelpText('after', help('audit accept-loss --confirm 1234 --data-dir alice'))
    .action(giveUp)
  return audit
}

const help = (example: string): string => `${EXIT_HELP}\n\nExample:\n  ${COMMAND} ${example}`

function count(text: string): number {
  const value = Number(text)
  if (!/^[0-9]{1,15}$/.test(text)) throw new InvalidArgumentError('must be a number of records')
  return value
}

async function tail(
  { lines, follow }: { readonly lines: number; readonly follow?: boolean },
  command: Command,
): Promise<void> {
  const output = outputOf(command)
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort())
  await withAuditSource(command, async (source) => {
    const { count: end } = source
    const from = Math.max(source.base.count, end - lines)
    if (follow !== true) return show(output, source.records(from, end))
    if (source.follow === undefined)
      throw new KmsError('node-not-running', 'no node runs on this data directory: there is nothing to follow')
    await show(output, source.follow(from, stop.signal))
  })
}

async function show(output: Output, records: AsyncIterable<StoredRecord>): Promise<void> {
  for await (const stored of records)
    output.result(describeStored(stored), [formatRecord(decodeAuditRecord(stored.record))])
}

const span = (from: number, end: number): string =>
  from === end ? `no record from ${end} on` : `records ${from} to ${end - 1}`

interface VerifyOptions {
  readonly head?: string
  readonly cluster?: string
}

async function verify(file: string | undefined, options: VerifyOptions, command: Command): Promise<void> {
  const kept: readonly ClaimedHead[] =
    options.head === undefined
      ? []
      : [{ what: `the head in ${options.head}`, signed: await readHeadFile(options.head) }]
  const report = (verified: VerifiedLog, head: SignedAuditHead): void => {
    const { index } = decodeAuditHead(head.head)
    const { from, count: end } = verified
    outputOf(command).result(
      { whole: true, node: index, from, count: end, head: describeHead(head), comparedWith: kept.length },
      [
        `the log of node ${index} is whole: ${span(from, end)}, each following from the one before, up to its signed head`,
        ...kept.map(({ what }) => `  it contains what ${what} is of`),
        ...(from > 0 ? [`  what came before record ${from} is not here`] : []),
      ],
    )
  }
  if (file !== undefined) {
    const exported = await openExport(file)
    const cluster = await clusterFor(options, command)
    const heads = [{ what: 'the head at its end', signed: exported.head }, ...kept]
    const owner = ownerOf(cluster, exported.head)
    return report(await verifyLog({ owner, base: exported.base, heads }, exported.records()), exported.head)
  }
  await withAuditSource(command, async (source) => {
    const heads = [
      { what: 'its signed head', signed: source.head },
      { what: 'the anchor in the sealed store', signed: source.anchored },
      ...kept,
    ]
    const owner =
      options.cluster === undefined ? source.owner : ownerOf(await readClusterFile(options.cluster), source.head)
    const records = source.records(source.base.count, decodeAuditHead(source.head.head).count)
    report(await verifyLog({ owner, base: source.base, heads }, records), source.head)
  })
}

/** Whose keys count: `--cluster`, or what the node of this directory joined. @throws KmsError `bad-cluster-file` */
async function clusterFor({ cluster }: VerifyOptions, command: Command): Promise<Cluster> {
  if (cluster !== undefined) return readClusterFile(cluster)
  const joined = clusterPath(dataDirOf(command))
  if (existsSync(joined)) return readClusterFile(joined)
  throw new KmsError('bad-cluster-file', `whose log is it? Name the cluster file: --cluster FILE (no ${joined} here)`, {
    data: { path: joined },
  })
}

async function exportLog(
  { out, from }: { readonly out: string; readonly from?: number },
  command: Command,
): Promise<void> {
  await withAuditSource(command, async (source) => {
    const { count: end } = decodeAuditHead(source.head.head)
    const base = await pointBefore(source, from ?? source.base.count, end)
    await writeNew(out, exportLines({ base, records: source.records(base.count, end), head: source.head }))
    try {
      // What was written is what the node signed, or there is no file.
      const written = await openExport(out)
      const heads = [{ what: 'its signed head', signed: written.head }]
      await verifyLog({ owner: source.owner, base: written.base, heads }, written.records())
    } catch (cause) {
      await rm(out, { force: true })
      throw cause
    }
    outputOf(command).result({ out, from: base.count, count: end }, [
      `${out}: ${span(base.count, end)} with the signed head`,
      `Anybody can check it: ${COMMAND} audit verify ${out} --cluster cluster.json`,
    ])
  })
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

async function writeHead({ out }: { readonly out: string }, command: Command): Promise<void> {
  await withAuditSource(command, async ({ head }) => {
    await writeNew(out, [headLine(head)])
    const described = describeHead(head)
    outputOf(command).result({ out, ...described }, [`${out}: the head after ${String(described['count'])} records`])
  })
}

/** Requesters are named in it: for its owner alone. @throws KmsError `output-exists`, `cannot-write`, and what `lines` throws */
async function writeNew(path: string, lines: Iterable<string> | AsyncIterable<string>): Promise<void> {
  let made = false
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600 })
  file.once('open', () => {
    made = true
  })
  try {
    await pipeline(Readable.from(lines), file)
  } catch (cause) {
    if (made) await rm(path, { force: true })
    if (isKmsError(cause)) throw cause
    const exists = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
    if (exists) throw new KmsError('output-exists', `${path} exists: choose another name`, { cause, data: { path } })
    throw new KmsError('cannot-write', `${path} cannot be written`, { cause, data: { path } })
  }
}

async function giveUp({ confirm }: { readonly confirm: number }, command: Command): Promise<void> {
  const { records, aside } = await withAuditPorts(command, (ports) => acceptLoss(ports, confirm))
  outputOf(command).result({ records, ...(aside !== undefined && { aside }) }, [
    `${records} records are given up; the new log goes on after them and says so`,
    ...(aside === undefined ? [] : [`what was there is in ${aside}: keep it`]),
  ])
}
