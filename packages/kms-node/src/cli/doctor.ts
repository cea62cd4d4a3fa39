import { KmsError, MAX_CLUSTER_NODES } from '@tkms/dkg'
import { Command } from 'commander'
import { z } from 'zod'
import { connectAdmin } from '../admin/admin-client.ts'
import type { LogPoint } from '../audit/database.ts'
import { verifyLog } from '../audit/verify-log.ts'
import { clusterPath, readClusterFile } from '../cluster/cluster-file.ts'
import { loadNodeConfig } from '../config/node-config.ts'
import { isKmsError } from '../errors.ts'
import { type Finding, findingsOf } from '../ops/doctor/finding.ts'
import { nodeFileSystem } from '../store/file-system.ts'
import { systemClock, systemRng } from '../system.ts'
import { type AuditSource, withAuditSource } from './audit-source.ts'
import { dataDirOf, outputOf } from './options.ts'
import { COMMAND, EXIT_HELP, paint } from './output.ts'

/** Of the audit log's end. */
const CHECKED_RECORDS = 1_000

const statusSchema = z.looseObject({
  restored: z.looseObject({ awaited: z.array(z.string().max(64)).max(MAX_CLUSTER_NODES) }).optional(),
})

/** `doctor`: what would keep a ceremony from ending well, before it begins. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description(
      'check this node and every other one of its cluster file before a ceremony: versions, clocks, addresses, TLS, storage, sealing, policy, audit log, shared hosts',
    )
    .addHelpText(
      'after',
      `${EXIT_HELP}\n\nExit code 0 means that nothing failed; warnings are shown, and do not count. Run it on the machine of a node, while the node runs.\n\nExample:\n  ${COMMAND} doctor --data-dir alice`,
    )
    .action(doctor)
}

async function doctor(_options: unknown, command: Command): Promise<void> {
  const directory = dataDirOf(command)
  const config = await loadNodeConfig({ directory, env: process.env })
  const cluster = await readClusterFile(clusterPath(config.dataDir))
  // It loads libp2p, which other commands do without.
  const { examine } = await import('../ops/doctor/examine.ts')
  const ports = { config, cluster, clock: systemClock, rng: systemRng, fileSystem: nodeFileSystem }
  const findings = [
    await judgeProcess(config.name, directory),
    await judgeAuditLog(config.name, command),
    ...(await examine(ports)),
  ]
  const failures = findings.filter(({ level }) => level === 'failure').length
  const warnings = findings.filter(({ level }) => level === 'warning').length
  outputOf(command).result({ ok: failures === 0, failures, warnings, findings }, [
    ...tableOf(findings),
    `${findings.length - failures - warnings} well, ${warnings} warnings, ${failures} failures`,
  ])
  if (failures > 0)
    throw new KmsError('doctor-failed', `${failures} of ${findings.length} checks failed: see their remedies`, {
      data: { failures, warnings },
    })
}

async function judgeProcess(name: string, directory: string): Promise<Finding> {
  const finding = findingsOf('node', name)
  try {
    const { restored } = statusSchema.parse(await (await connectAdmin(directory)).get('/status'))
    if (restored === undefined) return finding.ok('runs on this data directory')
    const names = restored.awaited.join(', ')
    return finding.warn(
      `runs, was restored from a backup, and signs nothing in ceremonies before enough of ${names} have told what it promised since`,
      `start ${names}, or mend the network between them and this node: it goes on by itself`,
    )
  } catch (cause) {
    if (!isKmsError(cause)) throw cause
    return finding.fail(
      `does not run on this data directory: ${cause.code}`,
      `run: ${COMMAND} start --data-dir ${directory}`,
    )
  }
}

/** That the end of the log is a chain and leads to the head that the node signs. */
async function judgeAuditLog(name: string, command: Command): Promise<Finding> {
  const finding = findingsOf('audit', name)
  const remedy = `run: ${COMMAND} audit verify --data-dir ${dataDirOf(command)}`
  try {
    return await withAuditSource(command, async (source) => {
      const { owner, count, head } = source
      const base = await pointBefore(source, count - CHECKED_RECORDS)
      const heads = [{ what: 'its head', signed: head }]
      const checked = await verifyLog({ owner, base, heads }, source.records(base.count, count))
      return finding.ok(`the last ${checked.count - base.count} of its ${count} records are a chain up to its head`)
    })
  } catch (cause) {
    if (!isKmsError(cause)) throw cause
    if (cause.code === 'audit-broken') return finding.fail(`its log is broken: ${cause.message}`, remedy)
    return finding.warn(`its log was not checked: ${cause.code}`, remedy)
  }
}

/** Where the records from `from` on go on from; the beginning of the log when it begins later. */
async function pointBefore(source: AuditSource, from: number): Promise<LogPoint> {
  if (from <= source.base.count) return source.base
  for await (const { seq, hash } of source.records(from - 1, from)) return { count: seq + 1, hash }
  return source.base
}

const MARKS = { ok: ['ok', 'green'], warning: ['warning', 'yellow'], failure: ['FAILURE', 'red'] } as const

function tableOf(findings: readonly Finding[]): readonly string[] {
  const widest = Math.max(...findings.map(({ node }) => node.length))
  return findings.flatMap(({ level, node, check, detail, remedy }) => {
    const [mark, colour] = MARKS[level]
    const line = `${paint(colour, mark.padEnd(7))}  ${node.padEnd(widest)}  ${check.padEnd(8)}  ${detail}`
    return remedy === undefined ? [line] : [line, `${' '.repeat(widest + 21)}-> ${remedy}`]
  })
}
