import { KmsError } from '@tkms/dkg'
import { Command } from 'commander'
import { loadNodeConfig } from '../config/node-config.ts'
import { dataDirOf, outputOf } from './options.ts'
import { COMMAND, EXIT_HELP } from './output.ts'

/** `erase`: a data directory that is no longer wanted, and its counter in a TPM. */
export function eraseCommand(): Command {
  return new Command('erase')
    .description('remove the data directory of a stopped node for good, and its counter in a TPM')
    .requiredOption('--confirm <name>', 'the name of that node')
    .addHelpText(
      'after',
      `${EXIT_HELP}\n\nWhere the counter cannot be removed, the directory stays.\n\nExample:\n  ${COMMAND} erase --confirm alice --data-dir drill`,
    )
    .action(erase)
}

async function erase({ confirm }: { readonly confirm: string }, command: Command): Promise<void> {
  const directory = dataDirOf(command)
  const config = await loadNodeConfig({ directory, env: process.env })
  if (config.name !== confirm)
    throw new KmsError('usage', `${directory} is of ${config.name}, and not of ${confirm}: nothing was done`, {
      data: { directory, name: config.name },
    })
  const { eraseNode } = await import('../erase-node.ts')
  await eraseNode(config, process.env)
  outputOf(command).result({ directory, node: confirm }, [`${directory} of ${confirm} is erased`])
}
