import { setTimeout as pause } from 'node:timers/promises'
import { KmsError } from '@tkms/dkg'
import { Command } from 'commander'
import type { AdminClient } from '../admin/admin-client.ts'
import type { RepairStatus } from '../repair/status.ts'
import { positiveInteger } from './ceremony-propose.ts'
import { connect } from './options.ts'
import { COMMAND, EXIT_HELP, type Output } from './output.ts'

const POLL_MS = 500

/** `repair KEY | status | approve | deny | replace | retry | give-up`, all against the running node. */
export function repairCommand(): Command {
  const repair = new Command('repair').description("bring this node's lost share of a key back, or help another node")
  repair
    .command('start', { isDefault: true })
    .description("ask as many nodes as the threshold for this node's share of a key; their operators approve")
    .argument('<key>', 'name of the key')
    .option('--generation <number>', 'default: the newest whose share is missing', positiveInteger)
    .option('--watch', 'stay until the share is back')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} repair ecies/421614 --watch`)
    .action(
      async (
        keyName: string,
        options: { readonly generation?: number; readonly watch?: boolean },
        command: Command,
      ) => {
        const { client, output } = await connect(command)
        const { generation } = options
        const status = (await client.post('/repairs', {
          keyName,
          ...(generation !== undefined && { generation }),
        })) as RepairStatus
        if (options.watch === true) await watch(client, output, status.id)
        else output.result(status, describe(status))
      },
    )
  repair
    .command('status')
    .description('list the repairs this node knows: its own, and those that it is asked to help with')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} repair status --data-dir bob`)
    .action(async (_options: unknown, command: Command) => {
      const { client, output } = await connect(command)
      const statuses = (await client.get('/repairs')) as RepairStatus[]
      output.result(statuses, statuses.length === 0 ? ['no repairs'] : statuses.flatMap(describe))
    })
  addWord(repair, 'approve', "help with another node's repair, under this request only: another try is a new question")
  addWord(repair, 'deny', 'refuse to help with this repair')
  addWord(repair, 'retry', 'ask the nodes that were replaced again, or begin a repair again that was interrupted here')
  addWord(repair, 'give-up', 'end this repair; nothing is lost but the time')
  repair
    .command('replace')
    .description('ask another node instead of one that does not answer or does not approve')
    .argument('<id>', 'id of the repair, or its first 8 digits or more')
    .argument('<node>', 'name or index of the node')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} repair replace 0x3f2a9c41 bob`)
    .action(async (id: string, node: string, _options: unknown, command: Command) => {
      const { client, output } = await connect(command)
      const body = { node: /^\d+$/.test(node) ? Number(node) : node }
      const status = (await client.post(`/repairs/${encodeURIComponent(id)}/replace`, body)) as RepairStatus
      output.result(status, describe(status))
    })
  return repair
}

function addWord(repair: Command, word: string, description: string): void {
  repair
    .command(word)
    .description(description)
    .argument('<id>', 'id of the repair, or its first 8 digits or more')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} repair ${word} 0x3f2a9c41`)
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, output } = await connect(command)
      const status = (await client.post(`/repairs/${encodeURIComponent(id)}/${word}`, {})) as RepairStatus
      output.result(status, describe(status))
    })
}

/** Shows every change until the repair ends. @throws KmsError `ceremony-stopped` when it ended without the share */
async function watch(client: AdminClient, output: Output, id: string): Promise<void> {
  let shown = ''
  for (;;) {
    const status = (await client.get(`/repairs/${encodeURIComponent(id)}`)) as RepairStatus
    const text = JSON.stringify(status)
    if (text !== shown) output.result(status, describe(status))
    shown = text
    if (status.end === 'repaired') return
    if (status.interrupted === true)
      throw new KmsError('ceremony-stopped', 'this node could not go on with the repair: see its log', { data: { id } })
    if (status.end !== undefined)
      throw new KmsError('ceremony-stopped', `the repair ended without the share: ${status.end}`, { data: { id } })
    await pause(POLL_MS)
  }
}

function describe(status: RepairStatus): string[] {
  const { id, role, keyName, generation, epoch, recoverer, phase, missing, interrupted, end, advice, request } = status
  const what = role === 'helper' ? `help ${recoverer.name} (${recoverer.index})` : 'own share'
  const state = interrupted === true ? 'interrupted' : (end ?? phase)
  const names = missing.map(({ name }) => name).join(', ')
  const waiting = names === '' ? '' : `, waiting for ${names}`
  return [
    `${id.slice(0, 18)} ${keyName} generation ${generation} epoch ${epoch}: ${what}: ${state}${waiting}`,
    ...(request === undefined ? [] : [`  asks as request ${request.slice(0, 18)}`]),
    ...(advice === undefined ? [] : [`  ${advice}`]),
  ]
}
