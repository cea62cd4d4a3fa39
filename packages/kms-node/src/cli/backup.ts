import type { Secret } from '@tkms/dkg'
import { Command } from 'commander'
import { z } from 'zod'
import { connectAdmin } from '../admin/admin-client.ts'
import type { BackupHeader } from '../backup/backup-file.ts'
import type { BackupCheck } from '../backup/check-backup.ts'
import type { MadeBackup } from '../backup/create-backup.ts'
import { loadNodeConfig } from '../config/node-config.ts'
import { isKmsError } from '../errors.ts'
import { systemClock } from '../system.ts'
import { dataDirOf, outputOf } from './options.ts'
import { COMMAND, EXIT_HELP, type Output } from './output.ts'

/** Base64 of 64 MiB, and a little around it. */
const MAX_REPLY_BYTES = 96 * 1024 * 1024

/** `backup [create] | drill | keygen`. */
export function backupCommand(): Command {
  const backup = new Command('backup').description(
    'an encrypted copy of what makes this node, and proof that it is good',
  )
  backup
    .command('create', { isDefault: true })
    .description('write a backup for the operators who hold these age recipients; the node may run or not')
    .requiredOption('--to <file>', 'must not exist')
    .requiredOption('--recipient <recipient>', 'age1.., who can open it; repeat for several', collect, [])
    .addHelpText('after', help('backup --to alice.backup --recipient age1.. --data-dir alice'))
    .action(create)
  backup
    .command('drill')
    .description('prove in memory that a node could start from a backup; writes nothing and asks nobody')
    .requiredOption('--from <file>', 'the backup')
    .requiredOption('--identity-file <file>', 'the age identity that opens it')
    .addHelpText('after', help('backup drill --from alice.backup --identity-file operator.key'))
    .action(drill)
  backup
    .command('keygen')
    .description('make an age identity to open backups with, as age-keygen does; prints its recipient')
    .requiredOption('--out <file>', 'must not exist; keep it away from the node')
    .addHelpText('after', help('backup keygen --out operator.key'))
    .action(keygen)
  return backup
}

const help = (example: string): string => `${EXIT_HELP}\n\nExample:\n  ${COMMAND} ${example}`

const collect = (text: string, earlier: readonly string[]): readonly string[] => [...earlier, text]

async function create(
  options: { readonly to: string; readonly recipient: readonly string[] },
  command: Command,
): Promise<void> {
  const { readBackupHeader } = await import('../backup/backup-file.ts')
  const { createAgeEncrypter } = await import('../backup/age-file.ts')
  const { writeBackup } = await import('../backup/create-backup.ts')
  createAgeEncrypter(options.recipient)
  const { bytes, leftOut } = await makeBackup(command, options.recipient)
  await writeBackup(options.to, bytes)
  const output = outputOf(command)
  const header = describeHeader(readBackupHeader(bytes))
  output.result({ file: options.to, bytes: bytes.length, ...header, leftOut }, [
    `${options.to}: ${bytes.length} bytes of ${header.node}, ${header.keys.length} shares`,
    ...header.keys.map(describeKey),
    ...leftOut.map(({ kind, id, code }) => `  left out: ${kind} ${id} does not hold (${code})`),
  ])
  output.hint(
    `Prove that it is good, where the identity is:\n  ${COMMAND} backup drill --from ${options.to} --identity-file FILE`,
  )
}

const replySchema = z.looseObject({
  backup: z.base64(),
  leftOut: z.array(z.object({ kind: z.string(), id: z.string(), code: z.string() })),
})

/** By the node where it runs: only it may read its store then. */
async function makeBackup(
  command: Command,
  recipients: readonly string[],
): Promise<Pick<MadeBackup, 'bytes'> & { readonly leftOut: z.infer<typeof replySchema>['leftOut'] }> {
  const directory = dataDirOf(command)
  const client = await connectAdmin(directory).catch((cause: unknown) => {
    if (isKmsError(cause) && cause.code === 'node-not-running') return undefined
    throw cause
  })
  if (client !== undefined) {
    const { backup, leftOut } = replySchema.parse(await client.post('/backups', { recipients }, MAX_REPLY_BYTES))
    return { bytes: Uint8Array.from(Buffer.from(backup, 'base64')), leftOut }
  }
  const { selectCurve } = await import('@tkms/curve-native')
  const { createBackup } = await import('../backup/create-backup.ts')
  const { withNodeStore } = await import('../open-node-store.ts')
  const config = await loadNodeConfig({ directory, env: process.env })
  const { bytes, leftOut } = await withNodeStore(config, process.env, (store) =>
    createBackup({ store, config, curve: selectCurve().curve, clock: systemClock }, recipients),
  )
  return { bytes, leftOut: [...leftOut] }
}

interface DescribedKey {
  readonly keyName: string
  readonly generation: number
  readonly epoch: number
}

/** For JSON and for people. */
export function describeHeader({ nodeName, clusterId, createdAtMs, keys }: BackupHeader): {
  readonly node: string
  readonly clusterId: string
  readonly createdAt: string
  readonly keys: readonly DescribedKey[]
} {
  return {
    node: nodeName,
    clusterId: `0x${Buffer.from(clusterId).toString('hex')}`,
    createdAt: new Date(createdAtMs).toISOString(),
    keys: keys.map(({ keyName, generation, epoch }) => ({ keyName, generation, epoch })),
  }
}

export const describeKey = ({ keyName, generation, epoch }: DescribedKey): string =>
  `  ${keyName} generation ${generation} epoch ${epoch}`

async function drill(
  { from, identityFile }: { readonly from: string; readonly identityFile: string },
  command: Command,
): Promise<void> {
  const { readIdentityFile } = await import('../backup/age-file.ts')
  const { checkBackup, configOf, requireSound } = await import('../backup/check-backup.ts')
  const { forgetContents } = await import('../backup/contents.ts')
  const { openBackup } = await import('../backup/open-backup.ts')
  const { requireUnread } = await import('../backup/restore.ts')
  const { selectCurve } = await import('@tkms/curve-native')
  const output = outputOf(command)
  const identities = await readIdentityFile(identityFile)
  const backup = await openBackup(from, identities)
  try {
    const checks = await checkBackup(backup, selectCurve().curve)
    const header = describeHeader(backup.header)
    if (checks.every(({ ok }) => ok)) output.result({ ok: true, ...header, checks }, table(from, header, checks))
    else table(from, header, checks).forEach((line) => output.text(line))
    requireSound(checks)
    const profile = configOf(backup.contents, { directory: '/', env: {} })?.profile ?? 'production'
    requireUnread(identities, profile, (warning) => output.hint(`warning: ${warning}`))
  } finally {
    forgetContents(backup.contents)
  }
}

function table(
  file: string,
  { node, createdAt }: { readonly node: string; readonly createdAt: string },
  checks: readonly BackupCheck[],
): readonly string[] {
  const width = Math.max(...checks.map(({ what }) => what.length))
  return [
    `${file}: ${node}, made ${createdAt}`,
    ...checks.map(({ what, ok, detail }) => `  ${ok ? 'ok  ' : 'FAIL'}  ${what.padEnd(width)}  ${detail}`),
  ]
}

async function keygen({ out }: { readonly out: string }, command: Command): Promise<void> {
  const { createIdentityFile } = await import('../backup/age-file.ts')
  const { writeBackup } = await import('../backup/create-backup.ts')
  const { recipient, content } = await createIdentityFile(systemClock.nowMs())
  await writeSecret(out, content, writeBackup)
  const output: Output = outputOf(command)
  output.result({ recipient, file: out }, [recipient])
  output.hint(`${out} opens every backup for this recipient: keep it offline, and a copy of it elsewhere`)
}

async function writeSecret(
  path: string,
  content: Secret,
  write: (path: string, bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const bytes = content.use((inner) => Uint8Array.from(inner))
  content.destroy()
  try {
    await write(path, bytes)
  } finally {
    bytes.fill(0)
  }
}
