import { KmsError, MAX_CLUSTER_NODES } from '@tkms/dkg'
import { Command } from 'commander'
import { z } from 'zod'
import { connectAdmin } from '../admin/admin-client.ts'
import type { LogPoint } from '../audit/database.ts'
import { verifyLog } from '../audit/verify-log.ts'
import { clusterPath, readClusterFile } from '../cluster/cluster-file.ts'
import type { PeerAttestationState } from '../attest/peer-attestation.ts'
import { REFUSAL_REASONS } from '../attest/refusal-status.ts'
import { loadNodeConfig } from '../config/node-config.ts'
import type { NodeConfig } from '../config/types.ts'
import { isKmsError } from '../errors.ts'
import { judgePeerProofs } from '../ops/doctor/attestation-checks.ts'
import { type Finding, type Findings, findingsOf } from '../ops/doctor/finding.ts'
import { nodeFileSystem } from '../store/file-system.ts'
import { systemClock, systemRng } from '../system.ts'
import { type AuditSource, withAuditSource } from './audit-source.ts'
import { dataDirOf, outputOf } from './options.ts'
import { COMMAND, EXIT_HELP, paint } from './output.ts'

/** Of the audit log's end. */
const CHECKED_RECORDS = 1_000

const peerState: z.ZodType<PeerAttestationState> = z.looseObject({
  peer: z.string().max(64),
  state: z.enum(['proven', 'expired', 'refused', 'unproven']),
  kept: z.literal(true).exactOptional(),
  reason: z.enum(REFUSAL_REASONS).exactOptional(),
  expiresMs: z.number().exactOptional(),
})
const statusSchema = z.looseObject({
  peerAttestation: z.array(peerState).max(MAX_CLUSTER_NODES).default([]),
  restored: z.looseObject({ awaited: z.array(z.string().max(64)).max(MAX_CLUSTER_NODES) }).optional(),
})

/** `doctor`: what would keep a ceremony from ending well, before it begins. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description(
      'check this node and every other one of its cluster file before a ceremony: versions, clocks, addresses, TLS, storage, sealing, proofs of code, policy, audit log, shared hosts',
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
    ...(await judgeProcess(config, directory)),
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

/** That it runs, and what it makes of the proofs of its peers. */
async function judgeProcess({ name, attestation }: NodeConfig, directory: string): Promise<readonly Finding[]> {
  const finding = findingsOf('node', name)
  try {
    const { restored, peerAttestation } = statusSchema.parse(await (await connectAdmin(directory)).get('/status'))
    const here = { warnDays: attestation.warnDays, nowMs: systemClock.nowMs() }
    return [judgeRestored(finding, restored?.awaited), ...judgePeerProofs(peerAttestation, here)]
  } catch (cause) {
    if (!isKmsError(cause)) throw cause
    const run = `run: ${COMMAND} start --data-dir ${directory}`
    return [finding.fail(`does not run on this data directory: ${cause.code}`, run)]
  }
}

function judgeRestored(finding: Findings, awaited: readonly string[] | undefined): Finding {
  if (awaited === undefined) return finding.ok('runs on this data directory')
  const names = awaited.join(', ')
  return finding.warn(
    `runs, was restored from a backup, and signs nothing in ceremonies before enough of ${names} have told what it promised since`,
    `start ${names}, or mend the network between them and this node: it goes on by itself`,
  )
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
    const line = `${paint(colour, mark.padEnd(7))}  ${node.padEnd(widest)}  ${check.padEnd(11)}  ${detail}`
    return remedy === undefined ? [line] : [line, `${' '.repeat(widest + 24)}-> ${remedy}`]
  })
}
