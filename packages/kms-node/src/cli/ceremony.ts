import { Command, InvalidArgumentError } from 'commander'
import { type AdminClient, connectAdmin } from '../admin/admin-client.ts'
import type { CeremonyStatus } from '../ceremony/status.ts'
import { dataDirOf, outputOf } from './options.ts'
import { COMMAND, EXIT_HELP, type Output } from './output.ts'
import { describeStatus, watchCeremony } from './watch-ceremony.ts'

function positiveInteger(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('must be a whole number above 0')
  return value
}

interface ProposeOptions {
  readonly name: string
  readonly purpose: string
  readonly generation?: number
  readonly hours?: number
  readonly watch?: boolean
}

/** `ceremony propose | approve | status | watch`, all against the running node. */
export function ceremonyCommand(): Command {
  const ceremony = new Command('ceremony').description('make keys together with the other nodes')
  ceremony
    .command('propose')
    .description('propose a new key to the committee and approve it on this node')
    .requiredOption('--name <key>', 'name of the key, for example ecies/421614')
    .option('--purpose <purpose>', 'what the key is for: ecies-dec', 'ecies-dec')
    .option('--generation <number>', 'default: the next one', positiveInteger)
    .option('--hours <number>', 'how long nodes may still begin; default 24', positiveInteger)
    .option('--watch', 'stay until it is complete')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} ceremony propose --name ecies/421614 --watch`)
    .action(async (options: ProposeOptions, command: Command) => {
      const { client, output } = await connect(command)
      const { name: keyName, purpose, generation, hours } = options
      const body = { keyName, purpose, generation, lifetimeS: hours === undefined ? undefined : hours * 3600 }
      const status = (await client.post('/ceremonies', body)) as CeremonyStatus
      await finish(client, output, { status, watch: options.watch === true })
      if (options.watch !== true)
        output.hint(`On every other node:\n  ${COMMAND} ceremony approve ${status.ceremony} --data-dir DIR`)
    })
  ceremony
    .command('approve')
    .description('let this node take part in a proposed ceremony')
    .argument('<id>', 'id of the ceremony, or its first 8 digits or more')
    .option('--watch', 'stay until it is complete')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} ceremony approve 0x3f2a9c41 --watch`)
    .action(async (id: string, options: { readonly watch?: boolean }, command: Command) => {
      const { client, output } = await connect(command)
      const status = (await client.post(`/ceremonies/${encodeURIComponent(id)}/approve`, {})) as CeremonyStatus
      await finish(client, output, { status, watch: options.watch === true })
    })
  ceremony
    .command('status')
    .description('list the ceremonies this node knows')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} ceremony status --data-dir alice`)
    .action(async (_options: unknown, command: Command) => {
      const { client, output } = await connect(command)
      const statuses = (await client.get('/ceremonies')) as CeremonyStatus[]
      output.result(statuses, statuses.length === 0 ? ['no ceremonies'] : statuses.map(describeStatus))
    })
  ceremony
    .command('watch')
    .description('follow a ceremony to its end, or the next one that ends')
    .argument('[id]', 'id of the ceremony, or its first 8 digits or more')
    .addHelpText(
      'after',
      `${EXIT_HELP}\nWith --json every change is one JSON object on one line.\n\nExample:\n  ${COMMAND} ceremony watch --data-dir alice`,
    )
    .action(async (id: string | undefined, _options: unknown, command: Command) => {
      const { client, output } = await connect(command)
      const status =
        id === undefined ? undefined : ((await client.get(`/ceremonies/${encodeURIComponent(id)}`)) as CeremonyStatus)
      await watchCeremony(client, status?.ceremony, output)
    })
  return ceremony
}

async function connect(command: Command): Promise<{ readonly client: AdminClient; readonly output: Output }> {
  return { client: await connectAdmin(dataDirOf(command)), output: outputOf(command) }
}

async function finish(
  client: AdminClient,
  output: Output,
  { status, watch }: { readonly status: CeremonyStatus; readonly watch: boolean },
): Promise<void> {
  if (watch) await watchCeremony(client, status.ceremony, output)
  else output.result(status, [status.ceremony])
}
