import { resolve } from 'node:path'
import { selectCurve } from '@tkms/curve-native'
import { bytesKey, verifyEd25519 } from '@tkms/dkg'
import type { Command } from 'commander'
import { connectAdmin } from '../admin/admin-client.ts'
import { addCandidates } from '../cluster/address-book.ts'
import { readClusterFile, replaceClusterFile, writeNewClusterFile } from '../cluster/cluster-file.ts'
import {
  type ClusterUpdate,
  removeFromClusterFile,
  type StoppedNode,
  updateClusterFile,
} from '../cluster/update-cluster.ts'
import { loadNodeConfig } from '../config/node-config.ts'
import { isKmsError } from '../errors.ts'
import { forgetIdentity, loadNodeIdentity, type NodeIdentity } from '../identity/node-identity.ts'
import { withNodeStore } from '../open-node-store.ts'
import { acceptedOf, acceptOption, dataDirOf, outputOf } from './options.ts'
import { COMMAND, EXIT_HELP } from './output.ts'
import { readCards } from './read-cards.ts'

const hex = (bytes: Uint8Array): string => `0x${bytesKey(bytes)}`

/** `cluster add | update | remove`: the address book of a cluster that lives. */
export function addBookCommands(cluster: Command): void {
  cluster
    .command('add')
    .description('add nodes to a cluster file as candidates, each under an index that was never used')
    .argument('<cards...>', 'files with node cards')
    .requiredOption('--cluster <file>', 'the cluster file, best the cluster.json of a node that runs')
    .requiredOption('--out <file>', 'where the longer file goes; may be the same')
    .addHelpText(
      'after',
      `${EXIT_HELP}\n\nExample:\n  ${COMMAND} cluster add frank/card.json --cluster alice/cluster.json --out cluster-6.json`,
    )
    .action(addNodes)
  acceptOption(cluster.command('update'))
    .description('let a node, running or not, take in a newer file of its cluster: entries and certificates')
    .argument('<file>', 'the newer cluster file')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} cluster update cluster-6.json --data-dir alice`)
    .action((file: string, _options: unknown, command: Command) =>
      edit(
        command,
        { path: '/cluster/update', body: { file: resolve(file), acceptConfigHashes: acceptedOf(command).map(hex) } },
        async (node, identity) => updateClusterFile(node, identity, await readClusterFile(file), acceptedOf(command)),
      ),
    )
  cluster
    .command('remove')
    .description('let a node, running or not, forget a node that is in no committee any more')
    .argument('<name>', 'the name of the node')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} cluster remove erin --data-dir alice`)
    .action((name: string, _options: unknown, command: Command) =>
      edit(command, { path: '/cluster/remove', body: { name } }, (node, identity) =>
        removeFromClusterFile(node, identity, name),
      ),
    )
}

async function addNodes(
  files: readonly string[],
  options: { readonly cluster: string; readonly out: string },
  command: Command,
): Promise<void> {
  const before = await readClusterFile(options.cluster)
  const after = addCandidates(before, await readCards(files))
  const inPlace = resolve(options.cluster) === resolve(options.out)
  await (inPlace ? replaceClusterFile(options.out, after) : writeNewClusterFile(options.out, after))
  const added = after.nodes
    .filter(({ index }) => !before.nodes.some((node) => node.index === index))
    .map(({ index, name, url }) => ({ index, name, url }))
  const output = outputOf(command)
  output.result({ file: options.out, added }, [
    `wrote ${options.out}`,
    ...added.map(({ index, name, url }) => `  ${index} ${name} ${url}, a candidate`),
  ])
  output.hint(
    `On each new node:\n  ${COMMAND} cluster join ${options.out} --data-dir DIR\nOn the others, if they shall know it before a proposal names it:\n  ${COMMAND} cluster update ${options.out} --data-dir DIR`,
  )
}

interface AdminCall {
  readonly path: string
  readonly body: unknown
}

/** The node itself makes the change while it runs, else this program in its place. */
async function edit(
  command: Command,
  call: AdminCall,
  offline: (node: StoppedNode, identity: NodeIdentity) => Promise<ClusterUpdate>,
): Promise<void> {
  const dataDir = dataDirOf(command)
  const running = await askNode(dataDir, call)
  const update = running ?? (await editStopped(dataDir, offline))
  outputOf(command).result({ ...update, running: running !== undefined }, describe(update, running !== undefined))
}

async function askNode(dataDir: string, { path, body }: AdminCall): Promise<ClusterUpdate | undefined> {
  try {
    return (await (await connectAdmin(dataDir)).post(path, body)) as ClusterUpdate
  } catch (cause) {
    if (isKmsError(cause) && cause.code === 'node-not-running') return undefined
    throw cause
  }
}

async function editStopped(
  dataDir: string,
  offline: (node: StoppedNode, identity: NodeIdentity) => Promise<ClusterUpdate>,
): Promise<ClusterUpdate> {
  const config = await loadNodeConfig({ directory: dataDir, env: process.env })
  return withNodeStore(config, process.env, async (store) => {
    const identity = await loadNodeIdentity(store)
    try {
      const node = { store, dataDir: config.dataDir, curve: selectCurve().curve, verify: verifyEd25519 }
      return await offline(node, identity)
    } finally {
      forgetIdentity(identity)
    }
  })
}

function describe({ added, changed, removed, certificates }: ClusterUpdate, running: boolean): string[] {
  const did = [
    ...added.map((name) => `added ${name}`),
    ...changed.map((name) => `changed ${name}`),
    ...removed.map((name) => `removed ${name}`),
    ...(certificates > 0 ? [`${certificates} new certificates`] : []),
  ]
  return [...(did.length > 0 ? did : ['nothing new']), running ? 'the running node uses it' : 'the node does not run']
}
