import { Command } from 'commander'
import type { CeremonyStatus } from '../ceremony/status.ts'
import type { KeyDescription } from '../keys/describe-key.ts'
import { formatKey } from '../keys/format-key.ts'
import { positiveInteger, report } from './ceremony-propose.ts'
import { addDestroy } from './destroy-key.ts'
import { connect } from './options.ts'
import { COMMAND, EXIT_HELP } from './output.ts'

/** `keys list | rotate | destroy`: the keys of the running node; `keys` alone lists. */
export function keysCommand(): Command {
  const keys = new Command('keys').description('the keys of the running node: list, rotate, destroy')
  keys
    .command('list', { isDefault: true })
    .description('list the keys that the running node knows')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} keys --json`)
    .action(async (_options: unknown, command: Command) => {
      const { client, output } = await connect(command)
      const known = (await client.get('/keys')) as KeyDescription[]
      output.result(known, known.length === 0 ? ['no keys'] : known.map(formatKey))
    })
  addRotate(keys)
  addDestroy(keys)
  return keys
}

interface RotateOptions {
  readonly purpose: string
  readonly hours?: number
  readonly watch?: boolean
}

function addRotate(keys: Command): void {
  keys
    .command('rotate')
    .description('propose the next generation of a key: a new key under the same name; the old one only decrypts')
    .argument('<key>', 'name of the key')
    .option('--purpose <purpose>', 'what the key is for: ecies-dec', 'ecies-dec')
    .option('--hours <number>', 'how long nodes may still begin; default 24', positiveInteger)
    .option('--watch', 'stay until it is complete')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} keys rotate ecies/421614 --watch`)
    .action(async (keyName: string, { purpose, hours, watch }: RotateOptions, command: Command) => {
      const { client, output } = await connect(command)
      const lifetimeS = hours === undefined ? undefined : hours * 3600
      const body = { kind: 'keygen', keyName, purpose, lifetimeS, rotate: true }
      const status = (await client.post('/ceremonies', body)) as CeremonyStatus
      await report(client, output, status, watch === true)
      output.hint(
        'The old generation goes on decrypting what was made for it. Clients take the new one from the cluster file with its certificate.',
      )
    })
}

/** `status`: public posture of the running node, with its connected peers. */
export function statusCommand(): Command {
  return new Command('status')
    .description('show the running node: version, peers, keys, curve backend')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} status --data-dir alice`)
    .action(async (_options: unknown, command: Command) => {
      const { client, output } = await connect(command)
      const status = await client.get('/status')
      output.result(status, [JSON.stringify(status, undefined, 2)])
    })
}
