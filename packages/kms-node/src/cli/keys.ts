import { Command } from 'commander'
import { connectAdmin } from '../admin/admin-client.ts'
import type { KeyDescription } from '../keys/describe-key.ts'
import { dataDirOf, outputOf } from './options.ts'
import { COMMAND, EXIT_HELP } from './output.ts'

/** `keys`: the keys of the running node. */
export function keysCommand(): Command {
  return new Command('keys')
    .description('list the keys that the running node holds a share of')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} keys --json`)
    .action(async (_options: unknown, command: Command) => {
      const client = await connectAdmin(dataDirOf(command))
      const keys = (await client.get('/keys')) as KeyDescription[]
      outputOf(command).result(keys, keys.length === 0 ? ['no keys'] : keys.map(describe))
    })
}

/** `status`: public posture of the running node, with its connected peers. */
export function statusCommand(): Command {
  return new Command('status')
    .description('show the running node: version, peers, keys, curve backend')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} status --data-dir alice`)
    .action(async (_options: unknown, command: Command) => {
      const client = await connectAdmin(dataDirOf(command))
      const status = await client.get('/status')
      outputOf(command).result(status, [JSON.stringify(status, undefined, 2)])
    })
}

const describe = ({ keyName, generation, epoch, keyId, publicKey, serving }: KeyDescription): string =>
  `${keyName} generation ${generation} epoch ${epoch}${serving ? '' : ' (no share here: needs repair)'}\n  keyId     ${keyId}\n  publicKey ${publicKey}`
