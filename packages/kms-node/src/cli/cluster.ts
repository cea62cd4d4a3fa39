import { bytesKey, type Cluster, clusterKeys, equalBytes, KmsError, verifyEd25519 } from '@tkms/dkg'
import { selectCurve } from '@tkms/curve-native'
import { Command } from 'commander'
import { clusterPath, readClusterFile, writeNewClusterFile } from '../cluster/cluster-file.ts'
import { createCluster, joinCluster } from '../cluster/join-cluster.ts'
import { loadNodeConfig } from '../config/node-config.ts'
import { withNodeStore } from '../open-node-store.ts'
import { systemRng } from '../system.ts'
import { acceptedOf, acceptOption, dataDirOf, outputOf } from './options.ts'
import { thresholdOf } from './ceremony-propose.ts'
import { addBookCommands } from './cluster-book.ts'
import { COMMAND, EXIT_HELP } from './output.ts'
import { readCards } from './read-cards.ts'

const hex = (bytes: Uint8Array): string => `0x${bytesKey(bytes)}`

/** `cluster new | join | add | update | remove | show | verify`. */
export function clusterCommand(): Command {
  const cluster = new Command('cluster').description('the committee: who is in it, and what gets pinned')
  cluster
    .command('new')
    .description('make a cluster file out of node cards; indices follow their order')
    .argument('<cards...>', 'files with node cards')
    .requiredOption('--threshold <t>', 'nodes that must answer to open a ciphertext', thresholdOf)
    .requiredOption('--out <file>', 'where the cluster file goes')
    .addHelpText(
      'after',
      `${EXIT_HELP}\n\nExample:\n  ${COMMAND} cluster new --threshold 3 --out cluster.json */card.json`,
    )
    .action(newCluster)
  acceptOption(cluster.command('join'))
    .description('check the own entry in a cluster file and pin its first committee for life; the node must not run')
    .argument('<file>', 'the cluster file')
    .option('--config-hash <hash>', 'refuse any other committee')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} cluster join cluster.json --data-dir alice`)
    .action(join)
  addBookCommands(cluster)
  cluster
    .command('show')
    .description('show a cluster file, by default the one this node joined')
    .argument('[file]', 'the cluster file')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} cluster show cluster.json`)
    .action(async (file: string | undefined, _options: unknown, command: Command) => {
      const known = await readClusterFile(file ?? clusterPath(dataDirOf(command)))
      outputOf(command).result(describe(known), lines(known))
    })
  acceptOption(cluster.command('verify'))
    .description('check a cluster file against a pinned config hash, and every certificate in it')
    .argument('<file>', 'the cluster file')
    .requiredOption('--config-hash <hash>', '0x and 64 hex digits')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} cluster verify cluster.json --config-hash 0x...`)
    .action(async (file: string, options: { readonly configHash: string }, command: Command) => {
      const known = requireHash(await readClusterFile(file), options.configHash)
      const keys = clusterKeys(selectCurve().curve, verifyEd25519, known, acceptedOf(command))
      const summary = keys.map(({ keyId, keyName, generation }) => ({ keyId: hex(keyId), keyName, generation }))
      outputOf(command).result({ ok: true, configHash: hex(known.configHash), keys: summary }, [
        `ok ${hex(known.configHash)}`,
        ...summary.map(({ keyId, keyName, generation }) => `  ${keyName} generation ${generation} keyId ${keyId}`),
      ])
    })
  return cluster
}

async function newCluster(
  files: readonly string[],
  options: { readonly threshold: number; readonly out: string },
  command: Command,
): Promise<void> {
  const created = createCluster(await readCards(files), { threshold: options.threshold, rng: systemRng })
  await writeNewClusterFile(options.out, created)
  const output = outputOf(command)
  output.result({ file: options.out, ...describe(created) }, [`wrote ${options.out}`, ...lines(created)])
  output.hint(
    `Give the file to every operator, compare the config hash, then on each node:\n  ${COMMAND} cluster join ${options.out} --data-dir DIR`,
  )
}

async function join(file: string, options: { readonly configHash?: string }, command: Command): Promise<void> {
  const known = await readClusterFile(file)
  if (options.configHash !== undefined) requireHash(known, options.configHash)
  const config = await loadNodeConfig({ directory: dataDirOf(command), env: process.env })
  const entry = await withNodeStore(config, process.env, (store) =>
    joinCluster(store, config, known, acceptedOf(command)),
  )
  const output = outputOf(command)
  output.result({ index: entry.index, name: entry.name, standing: entry.standing, ...describe(known) }, [
    `joined as node ${entry.index} (${entry.name})${entry.standing === 'member' ? '' : `, a ${entry.standing}`}`,
    ...lines(known),
  ])
  if (entry.standing !== 'member')
    output.hint(
      'No committee names this node now: it takes part once a resharing that names it is proposed and approved.',
    )
  output.hint(`Every operator must see this config hash. When that is so:\n  ${COMMAND} start --data-dir DIR`)
}

function requireHash(known: Cluster, text: string): Cluster {
  const wanted = Uint8Array.from(Buffer.from(text.replace(/^0x/, ''), 'hex'))
  if (!equalBytes(wanted, known.configHash))
    throw new KmsError('cluster-changed', `the config hash of this file is ${hex(known.configHash)}, not ${text}`, {
      data: { configHash: hex(known.configHash) },
    })
  return known
}

const describe = ({ config, configHash, nodes, certificates }: Cluster): object => ({
  clusterId: hex(config.clusterId),
  configHash: hex(configHash),
  n: config.n,
  t: config.t,
  f: config.f,
  nodes: nodes.map(({ index, name, url, multiaddrs }) => ({ index, name, url, multiaddrs })),
  certificates: certificates.length,
})

const lines = ({ config, configHash, nodes, certificates }: Cluster): string[] => [
  `config hash ${hex(configHash)}`,
  `${config.n} nodes, threshold ${config.t}, ceremonies tolerate ${config.f} faulty, ${certificates.length} certificates`,
  ...nodes.map(({ index, name, url }) => `  ${index} ${name} ${url}`),
]
