import { resolve } from 'node:path'
import { Command } from 'commander'
import type { PeerAnswer } from '../backup/ask-peers.ts'
import { readClusterFile } from '../cluster/cluster-file.ts'
import { describeKey } from './backup.ts'
import { dataDirOf, outputOf } from './options.ts'
import { COMMAND, EXIT_HELP } from './output.ts'

interface RestoreOptions {
  readonly from: string
  readonly identityFile: string
  readonly config?: string
  readonly cluster?: string
  readonly withoutOutdated?: boolean
}

/** `restore`: a data directory from a backup. */
export function restoreCommand(): Command {
  return new Command('restore')
    .description(
      'make a data directory, which must not exist, from a backup; asks the other nodes what they know first',
    )
    .requiredOption('--from <file>', 'the backup; a newer one of the same node in its directory is an error')
    .requiredOption('--identity-file <file>', 'the age identity that opens it')
    .option('--config <file>', 'node.yaml of the restored node; default: the one in the backup')
    .option('--cluster <file>', 'a cluster file that knows more than the nodes that can be reached')
    .option('--without-outdated', 'leave out the shares that the cluster has left behind; they are repaired afterwards')
    .addHelpText(
      'after',
      `${EXIT_HELP}\n\nThe new store is sealed by the sealer that node.yaml names, here and now.\nNever start a node whose old one still runs: both stop.\n\nExample:\n  ${COMMAND} restore --from alice.backup --identity-file operator.key --data-dir alice-new`,
    )
    .action(restore)
}

async function restore(options: RestoreOptions, command: Command): Promise<void> {
  const { readIdentityFile } = await import('../backup/age-file.ts')
  const { restoreBackup } = await import('../backup/restore.ts')
  const { selectCurve } = await import('@tkms/curve-native')
  const directory = dataDirOf(command)
  const output = outputOf(command)
  const restored = await restoreBackup({
    file: resolve(options.from),
    identities: await readIdentityFile(options.identityFile),
    directory,
    configFile: options.config,
    cluster: options.cluster === undefined ? undefined : await readClusterFile(options.cluster),
    withoutOutdated: options.withoutOutdated === true,
    env: process.env,
    curve: selectCurve().curve,
    onWarning: (warning) => output.hint(`warning: ${warning}`),
  })
  const { node, createdAtMs, keys, outdated, peers, auditRecords } = restored
  const described = keys.map(({ keyName, generation, epoch }) => ({ keyName, generation, epoch }))
  const createdAt = new Date(createdAtMs).toISOString()
  const left = outdated.map(({ key, latestEpoch }) => ({ keyName: key.keyName, epoch: key.epoch, latestEpoch }))
  output.result({ directory, node, createdAt, keys: described, outdated: left, peers, auditRecords }, [
    `${directory}: ${node} as of ${createdAt}, ${described.length} shares`,
    ...described.map(describeKey),
    ...left.map(
      ({ keyName, epoch, latestEpoch }) => `  left out: ${keyName} epoch ${epoch}, the cluster is at ${latestEpoch}`,
    ),
    describePeers(peers),
  ])
  output.hint('The old node of this identity must never run again.')
  if (auditRecords > 0)
    output.hint(
      `Put its newest audit.db, and the audit.db-wal beside it if there is one, into ${directory}; only if that is lost:\n  ${COMMAND} audit accept-loss --confirm ${auditRecords} --data-dir ${directory}`,
    )
  for (const { keyName } of left)
    output.hint(`Once it runs:\n  ${COMMAND} repair ${keyName} --watch --data-dir ${directory}`)
}

function describePeers(peers: readonly PeerAnswer[]): string {
  const names = (state: PeerAnswer['state']): string =>
    peers
      .filter((peer) => peer.state === state)
      .map(({ name }) => name)
      .join(', ') || 'none'
  return `  asked for later certificates: answered ${names('answered')}; unreachable ${names('unreachable')}; refused ${names('refused')}`
}
