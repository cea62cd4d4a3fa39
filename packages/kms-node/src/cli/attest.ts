import { randomBytes } from 'node:crypto'
import { bytesKey, KmsError } from '@tkms/dkg'
import { hexToBytes } from '@noble/hashes/utils.js'
import { Command } from 'commander'
import { z } from 'zod'
import { readable } from '../attest/readable.ts'
import type { AttestationReport } from '../attest/report.ts'
import type { NodeVerdict } from '../attest/ask-nodes.ts'
import { readAttestationFile } from '../config/attestation-file.ts'
import { loadNodeConfig } from '../config/node-config.ts'
import type { AttestationConfig } from '../config/types.ts'
import { readBounded } from '../files.ts'
import { createLog } from '../ops/log.ts'
import type { NodeStatus } from '../ops/status.ts'
import { systemClock } from '../system.ts'
import { connect, dataDirOf, outputOf } from './options.ts'
import { COMMAND, EXIT_HELP } from './output.ts'

const VERIFY_TIMEOUT_MS = 15_000
/** Of a column that says much. */
const MAX_CELL = 48

/** `attest show | verify`: what a node proves, and what a cluster proves to somebody outside. */
export function attestCommand(): Command {
  const attest = new Command('attest').description('proofs of what runs on the nodes: TDX and SGX quotes')
  attest
    .command('show')
    .description('ask the running node for a quote, and show what it says, with what the node says of itself')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} attest show --data-dir alice`)
    .action(show)
  attest
    .command('verify')
    .description(
      'ask every node of a cluster for a quote with a fresh nonce, and judge it by an allow list of your own',
    )
    .argument('<cluster>', 'a cluster file, or the URL of a node that gives it')
    .option('--config-hash <hash>', 'with a URL: the pinned config hash of the cluster')
    .option(
      '--trust <file>',
      'YAML with allow, tcbStatuses, collateral as under attestation of node.yaml, which is the default',
    )
    .option(
      '--release <file>',
      'what `npm run --silent release:manifest` prints for the release that all nodes must run',
    )
    .addHelpText(
      'after',
      `${EXIT_HELP}\nA node that is refused makes exit code 1.\n\nExamples:\n` +
        `  ${COMMAND} attest verify cluster.json --trust trust.yaml\n` +
        `  ${COMMAND} attest verify https://kms-1.example.org --config-hash 0x... --trust trust.yaml --json`,
    )
    .action(verify)
  return attest
}

async function show(_options: unknown, command: Command): Promise<void> {
  const config = await loadNodeConfig({ directory: dataDirOf(command), env: process.env })
  const { client, output } = await connect(command)
  const nonce = randomBytes(32)
  const status = (await client.get('/status')) as NodeStatus
  const report = (await client.get(`/attestation/0x${bytesKey(nonce)}`)) as AttestationReport
  const { openVerifier, checkReport, describeMeasurement, parseQuote } = await import('../attest/judging.ts')
  const ports = { clock: systemClock, log: createLog({ level: 'silent', node: config.name }) }
  const asked = {
    clusterId: hexToBytes(status.clusterId.slice(2)),
    identity: hexToBytes(status.ed25519.slice(2)),
    nonce,
  }
  const verifier = await openVerifier(config.attestation, ports)
  const { verdict } = await checkReport(verifier, report, asked, AbortSignal.timeout(VERIFY_TIMEOUT_MS))
  const quote = parseQuote(hexToBytes(report.quote.slice(2)))
  const { version, codeHash, nativeHash, runtime, profile, sealing, curve, certificatesHash } = status
  const keys = status.keys.map(({ keyName, generation, epoch }) => ({ keyName, generation, epoch }))
  const facts = { version, codeHash, nativeHash, runtime, profile, sealing, curve }
  const posture = { ...facts, certificatesHash, keys, attestation: status.attestation }
  const measured = quote === undefined ? 'not readable' : describeMeasurement(quote.measurement)
  const judged =
    verdict.kind === 'accepted'
      ? `accepted as ${verdict.measurement}, TCB ${verdict.tcbStatus}, until ${new Date(verdict.expiresMs).toISOString()}`
      : `refused (${verdict.reason}): ${verdict.detail}`
  output.result({ posture, measurement: quote?.measurement, verdict, ...report }, [
    `provider   ${report.provider}`,
    ...measured.split(', ').map((line, at) => `${at === 0 ? 'measured   ' : '           '}${line}`),
    `judged     ${judged}`,
    `node       ${report.ed25519} of cluster ${report.clusterId}`,
    `keys       ${epochsOf(keys)}; certificates hash ${report.certificatesHash}`,
    ...Object.entries(facts).flatMap(([name, value]) => (value === undefined ? [] : `${name.padEnd(10)} ${value}`)),
  ])
}

interface VerifyOptions {
  readonly configHash?: string
  readonly trust?: string
  readonly release?: string
}

async function verify(source: string, options: VerifyOptions, command: Command): Promise<void> {
  const output = outputOf(command)
  const config = await trustOf(options, command)
  const { askCluster, openVerifier } = await import('../attest/judging.ts')
  const ports = { clock: systemClock, log: createLog({ level: 'silent', node: 'attest' }) }
  const verifier = await openVerifier(config, ports)
  const named = { source, configHash: options.configHash }
  const codeHash = options.release === undefined ? undefined : await readRelease(options.release)
  const rows = await askCluster(named, { verifier, codeHash, nowMs: () => systemClock.nowMs() })
  const refused = rows.filter(({ verdict }) => verdict === 'refused')
  output.result({ ok: refused.length === 0, nodes: rows }, table(rows, config.warnDays))
  if (refused.length > 0)
    throw new KmsError('attestation-refused', `${refused.length} of ${rows.length} nodes did not prove what runs there`)
}

async function trustOf({ trust }: VerifyOptions, command: Command): Promise<AttestationConfig> {
  if (trust !== undefined) return readAttestationFile(trust)
  return (await loadNodeConfig({ directory: dataDirOf(command), env: process.env })).attestation
}

const releaseSchema = z.object({
  schema: z.literal('tkms.release.v1'),
  codeHash: z.string().regex(/^0x[0-9a-f]{64}$/),
})
const MAX_RELEASE_BYTES = 1024 * 1024

/** @returns its code hash. @throws KmsError `usage` */
async function readRelease(path: string): Promise<string> {
  const bytes = await readBounded(path, MAX_RELEASE_BYTES)
  const parsed = releaseSchema.safeParse(
    readable(() => JSON.parse(Buffer.from(bytes ?? []).toString('utf8')) as unknown),
  )
  if (!parsed.success) throw new KmsError('usage', `${path} is not the manifest of a release`)
  return parsed.data.codeHash
}

/** "ecies/a 1.3": key, generation, epoch. */
const epochsOf = (keys: Required<NodeVerdict>['keys']): string =>
  keys.map(({ keyName, generation, epoch }) => `${keyName} ${generation}.${epoch}`).join(', ') || 'none'

const cut = (text: string): string => (text.length > MAX_CELL ? `${text.slice(0, MAX_CELL - 3)}...` : text)

function table(rows: readonly NodeVerdict[], warnDays: number): string[] {
  const head = [
    'node',
    'provider',
    'measurement',
    'TCB',
    'days left',
    'version',
    'code',
    'profile',
    'sealing',
    'curve',
    'keys',
    'certificates',
    'verdict',
  ]
  const cells = rows.map((row) => [
    row.name,
    row.provider,
    row.measurement ?? '-',
    row.tcbStatus ?? '-',
    row.daysLeft === undefined ? '-' : `${row.daysLeft}${row.daysLeft < warnDays ? ' (soon)' : ''}`,
    row.version ?? '-',
    row.codeHash?.slice(0, 14) ?? '-',
    row.profile ?? '-',
    row.sealing ?? '-',
    row.curve ?? '-',
    row.keys === undefined ? '-' : cut(epochsOf(row.keys)),
    row.certificatesHash?.slice(0, 14) ?? '-',
    row.verdict === 'accepted' ? 'accepted' : `refused: ${row.reason ?? '?'} (${(row.detail ?? '').slice(0, 160)})`,
  ])
  const widths = head.map((title, column) => Math.max(title.length, ...cells.map((line) => line[column]?.length ?? 0)))
  return [head, ...cells].map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
