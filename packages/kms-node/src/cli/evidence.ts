import {
  bytesKey,
  type Cluster,
  evidencePins,
  type FaultKind,
  KmsError,
  verifyEd25519,
  verifyEvidence,
} from '@tkms/dkg'
import { selectCurve } from '@tkms/curve-native'
import { Command } from 'commander'
import { clusterPath, readClusterFile } from '../cluster/cluster-file.ts'
import { dataDirOf, outputOf } from './options.ts'
import { COMMAND, EXIT_HELP } from './output.ts'
import { readEvidence } from './read-evidence.ts'

/** `evidence verify`: needs the evidence and a cluster file, no node and no network (protocol 7). */
export function evidenceCommand(): Command {
  const evidence = new Command('evidence').description('proofs that a node did what no honest node does')
  evidence
    .command('verify')
    .description('check evidence offline: exit code 0 when it proves that the node it names broke the protocol')
    .argument('<file>', 'the .bin file of a piece of evidence, or the .json file beside it')
    .option('--cluster <file>', 'the cluster file to verify from; the one this node joined unless given')
    .addHelpText(
      'after',
      `${EXIT_HELP}\n\nExample:\n  ${COMMAND} evidence verify alice/evidence/FILE.json --cluster cluster.json`,
    )
    .action(verify)
  return evidence
}

async function verify(file: string, options: { readonly cluster?: string }, command: Command): Promise<void> {
  const cluster = await readClusterFile(options.cluster ?? clusterPath(dataDirOf(command)))
  const bytes = await readEvidence(file)
  const fault = verifyEvidence(selectCurve().curve, verifyEd25519, bytes, evidencePins(cluster))
  const configHash = `0x${bytesKey(cluster.configHash)}`
  if (fault === undefined)
    throw new KmsError(
      'evidence-not-proven',
      `${file} proves nothing against a node of the cluster ${configHash}: it was changed, is about another cluster, ` +
        'or about a committee that no certificate of this cluster file leads to (then take a newer cluster file)',
      { data: { file, configHash } },
    )
  const { culprit: index, kind, summary } = fault
  const name = nameOf(cluster, index)
  const todo = ADVICE[kind]
  outputOf(command).result(
    { proven: true, index, ...(name !== undefined && { name }), kind, summary, todo, configHash },
    [
      `proven ${kind}: node ${index} (${name ?? 'no longer in the cluster file'}) ${summary}`,
      `  ${todo}`,
      `  verified from the cluster ${configHash}`,
    ],
  )
}

const nameOf = (cluster: Cluster, index: number): string | undefined =>
  cluster.nodes.find((node) => node.index === index)?.name

const REPLACE = 'reshare every key to a committee without it'

/** What the operators do about each kind of fault. */
const ADVICE: Readonly<Record<FaultKind, string>> = {
  E1: `The ceremony goes on without its dealing. Ask its operator what ran there; unless that is clear, ${REPLACE}.`,
  E2:
    'Stop this node: it runs twice, was restored from an old disk, or its key is in other hands. Find out which before it starts ' +
    `again; unless that is clear, ${REPLACE} and never use its identity again.`,
  E3: `The ceremony goes on without its dealing. Ask its operator what ran there; unless that is clear, ${REPLACE}.`,
  E4: `The dealer it accused is honest and stays. Ask its operator what ran there; unless that is clear, ${REPLACE}.`,
  E5: `The ceremony goes on under the next leader. Ask its operator what ran there; unless that is clear, ${REPLACE}.`,
  E6:
    'Clients leave its answers out. Its share may be damaged: stop it and let it check and repair its share; if it goes on, ' +
    `${REPLACE}.`,
  E7: `The repair goes on with another helper. Its share may be damaged: let it check and repair its share, or ${REPLACE}.`,
}
