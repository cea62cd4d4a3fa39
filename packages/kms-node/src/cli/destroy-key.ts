import type { Command } from 'commander'
import type { DestroyStatus } from '../destroy/status.ts'
import { positiveInteger } from './ceremony-propose.ts'
import { connect } from './options.ts'
import { COMMAND, EXIT_HELP } from './output.ts'

const CLIENT = 'npm run --silent tkms --'

interface DestroyOptions {
  readonly generation?: number
  readonly confirm?: string
  readonly last?: boolean
  readonly status?: boolean
}

/** `keys destroy`: sign the order to destroy a generation of a key, or see how far it has come. */
export function addDestroy(keys: Command): void {
  keys
    .command('destroy')
    .description(
      'sign the order to destroy one generation of a key for ever; a quorum of its members must, each on its own node',
    )
    .argument('<key>', 'name of the key')
    .option('--generation <number>', 'which one; never guessed', positiveInteger)
    .option('--confirm <keyId>', 'the id of the key, as keys list shows it')
    .option('--last', 'although it is the newest generation of its name: no other takes its place')
    .option('--status', 'only show how far the destruction of this key has come')
    .addHelpText(
      'after',
      `${EXIT_HELP}
What was encrypted for this generation can never be opened again. Encrypt it for a newer one first (keys rotate).
Clients encrypt for the newest generation that they know and do not hear of its destruction: that one is destroyed with --last only.
An imported key also lives where it came from: erase it there yourself.

Examples:
  ${COMMAND} keys destroy ecies/421614 --generation 1 --confirm 0x...
  ${COMMAND} keys destroy ecies/421614 --status`,
    )
    .action(async (keyName: string, { generation, confirm, last, status }: DestroyOptions, command: Command) => {
      const { client, output } = await connect(command)
      if (status === true) {
        const all = (await client.get('/destructions')) as DestroyStatus[]
        const named = all.filter((one) => one.keyName === keyName && (generation ?? one.generation) === one.generation)
        output.result(
          named,
          named.length === 0 ? ['nobody has signed an order to destroy it'] : named.flatMap(describe),
        )
        return
      }
      if (generation === undefined)
        command.error("error: option '--generation <number>' is needed: which one is destroyed")
      const body = { keyName, generation, ...(confirm !== undefined && { confirm }), ...(last === true && { last }) }
      const signed = (await client.post('/destructions', body)) as DestroyStatus
      output.result(signed, describe(signed))
      output.hint(
        `Clients do not hear of it: bring the cluster file of each up to date before it encrypts again, or it encrypts for a key that is gone:\n  ${CLIENT} follow --cluster cluster.json`,
      )
    })
}

const STATES: Readonly<Record<DestroyStatus['phase'], string>> = {
  collecting: 'the order is signed by some',
  erasing: 'being erased here',
  erased: 'erased here, other nodes have not all said so yet',
  gone: 'gone: too few shares are left anywhere to put it together again',
}

function describe({ keyName, generation, keyId, phase, signatures, advice }: DestroyStatus): string[] {
  const count = phase === 'collecting' ? ` (${signatures.have} of ${signatures.want})` : ''
  return [
    `${keyName} generation ${generation} ${keyId}: ${STATES[phase]}${count}`,
    ...(advice === undefined ? [] : [`  ${advice}`]),
  ]
}
