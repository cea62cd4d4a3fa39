import { Command } from 'commander'
import { otherWay } from '../ceremony/other-way.ts'
import { type CeremonyStatus, isFinal } from '../ceremony/status.ts'
import { addPropose } from './ceremony-propose.ts'
import { describeProposal, describeStatus } from './describe-ceremony.ts'
import { connect, dataDirOf } from './options.ts'
import { COMMAND, EXIT_HELP } from './output.ts'
import { watchCeremony } from './watch-ceremony.ts'

const ID = 'id of the ceremony, or its first 8 digits or more'

/** `ceremony propose | approve | status | watch | abandon`, all against the running node. */
export function ceremonyCommand(): Command {
  const ceremony = new Command('ceremony').description('make and reshare keys together with the other nodes')
  addPropose(ceremony)
  addApprove(ceremony)
  addStatus(ceremony)
  addWatch(ceremony)
  addAbandon(ceremony)
  return ceremony
}

interface ApproveOptions {
  readonly degraded?: boolean
  readonly lowerThreshold?: boolean
  readonly show?: boolean
  readonly watch?: boolean
}

function addApprove(ceremony: Command): void {
  ceremony
    .command('approve')
    .description('let this node take part in a proposed ceremony; says first what that is')
    .argument('<id>', ID)
    .option('--show', 'only say what would be approved')
    .option('--lower-threshold', 'confirm that fewer nodes than before will be enough')
    .option(
      '--degraded',
      'act on the word of fewer old members than their quorum: compare the new committee by hand first',
    )
    .option('--watch', 'stay until it is complete')
    .addHelpText(
      'after',
      `${EXIT_HELP}\n\nExamples:\n  ${COMMAND} ceremony approve 0x3f2a9c41 --show\n  ${COMMAND} ceremony approve 0x3f2a9c41 --watch`,
    )
    .action(async (id: string, options: ApproveOptions, command: Command) => {
      const { client, output } = await connect(command)
      const path = `/ceremonies/${encodeURIComponent(id)}`
      const proposed = (await client.get(path)) as CeremonyStatus
      if (options.show === true) return output.result(proposed, describeProposal(proposed))
      for (const line of describeProposal(proposed)) output.hint(line)
      if (isFinal(proposed) && proposed.stage !== 'expired')
        output.hint(`Nothing is left to approve: it is ${proposed.stage}.`)
      const { degraded, lowerThreshold } = options
      const status = (await client.post(`${path}/approve`, { degraded, lowerThreshold })) as CeremonyStatus
      if (options.watch === true) await watchCeremony(client, status.ceremony, output)
      else output.result(status, [status.ceremony])
    })
}

function addStatus(ceremony: Command): void {
  ceremony
    .command('status')
    .description('list the ceremonies this node knows: who is waited for, since when, and what to do')
    .argument('[id]', ID)
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} ceremony status --data-dir alice`)
    .action(async (id: string | undefined, _options: unknown, command: Command) => {
      const { client, output } = await connect(command)
      const statuses = (await client.get('/ceremonies')) as CeremonyStatus[]
      const wanted =
        id === undefined ? statuses : [(await client.get(`/ceremonies/${encodeURIComponent(id)}`)) as CeremonyStatus]
      const lines = wanted.flatMap((status) => [
        describeStatus(status),
        ...(status.lastView === undefined ? [] : [`  view ${status.lastView.view} failed: ${status.lastView.reason}`]),
        ...(status.advice === undefined ? [] : [`  ${status.advice}`]),
      ])
      output.result(id === undefined ? statuses : wanted[0], lines.length === 0 ? ['no ceremonies'] : lines)
    })
}

function addWatch(ceremony: Command): void {
  ceremony
    .command('watch')
    .description('follow a ceremony to its end, or the next one that ends')
    .argument('[id]', ID)
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
}

function addAbandon(ceremony: Command): void {
  ceremony
    .command('abandon')
    .description('give a ceremony up on this node; it is over once a quorum of its new members did')
    .argument('<id>', ID)
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} ceremony abandon 0x3f2a9c41 --data-dir alice`)
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, output } = await connect(command)
      const status = (await client.post(`/ceremonies/${encodeURIComponent(id)}/abandon`, {})) as CeremonyStatus
      output.result(status, [status.ceremony])
      if (status.stage === 'abandoned') return
      output.hint(
        `It is over when ${status.quorum} of its ${status.n} new members did the same. On them:\n  ${COMMAND} ceremony abandon ${status.ceremony} --data-dir DIR`,
      )
      output.hint(`Or, ${otherWay(status, { dataDir: dataDirOf(command) })}`)
    })
}
