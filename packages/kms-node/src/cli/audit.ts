import { decodeAuditRecord, KmsError } from '@tkms/dkg'
import { Command, InvalidArgumentError } from 'commander'
import { acceptLoss } from '../audit/accept-loss.ts'
import type { StoredRecord } from '../audit/database.ts'
import { describeHead, describeStored, formatRecord } from '../audit/describe-record.ts'
import { headLine } from '../audit/export-file.ts'
import { archiveLog, exportLog, writeNew } from './audit-export.ts'
import { withAuditPorts, withAuditSource } from './audit-source.ts'
import { verify } from './audit-verify.ts'
import { outputOf } from './options.ts'
import { COMMAND, EXIT_HELP, type Output } from './output.ts'

const DEFAULT_LINES = 20

/** `audit tail | verify | export | archive | head | accept-loss`: what the node released and refused (interfaces, Audit log). */
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
      '[exports...]',
      'files that audit export or archive wrote, in order, instead of the log of this node; needs --cluster or --data-dir',
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
        `  ${COMMAND} audit verify audit.jsonl --cluster cluster.json\n` +
        `  ${COMMAND} audit verify audit-1.jsonl audit-2.jsonl --cluster cluster.json`,
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
    .command('archive')
    .description('move all records into a file, checked there before the running node removes its own: makes room')
    .requiredOption('--out <file>', 'must not exist')
    .addHelpText('after', help('audit archive --out audit-2026-11.jsonl --data-dir alice'))
    .action(archiveLog)
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

async function writeHead({ out }: { readonly out: string }, command: Command): Promise<void> {
  await withAuditSource(command, async ({ head }) => {
    await writeNew(out, [headLine(head)])
    const described = describeHead(head)
    outputOf(command).result({ out, ...described }, [`${out}: the head after ${String(described['count'])} records`])
  })
}

async function giveUp({ confirm }: { readonly confirm: number }, command: Command): Promise<void> {
  const { records, aside } = await withAuditPorts(command, (ports) => acceptLoss(ports, confirm))
  outputOf(command).result({ records, ...(aside !== undefined && { aside }) }, [
    `${records} records are given up; the new log goes on after them and says so`,
    ...(aside === undefined ? [] : [`what was there is in ${aside}: keep it`]),
  ])
}
