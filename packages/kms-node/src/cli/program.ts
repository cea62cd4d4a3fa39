import { KmsError } from '@tkms/dkg'
import { Command, CommanderError } from 'commander'
import { attestCommand } from './attest.ts'
import { auditCommand } from './audit.ts'
import { backupCommand } from './backup.ts'
import { ceremonyCommand } from './ceremony.ts'
import { clusterCommand } from './cluster.ts'
import { doctorCommand } from './doctor.ts'
import { eraseCommand } from './erase.ts'
import { evidenceCommand } from './evidence.ts'
import { initCommand } from './init.ts'
import { keysCommand, statusCommand } from './keys.ts'
import { openapiCommand } from './openapi.ts'
import { withSharedOptions } from './options.ts'
import { COMMAND, EXIT, EXIT_HELP, reportError } from './output.ts'
import { VERSION } from '../version.ts'
import { policyCommand } from './policy.ts'
import { repairCommand } from './repair.ts'
import { resealCommand } from './reseal.ts'
import { restoreCommand } from './restore.ts'
import { startCommand } from './start.ts'

const EXAMPLES = `
How a cluster starts (TKMS_PASSPHRASE_FILE names a file with the passphrase):
  ${COMMAND} init --name alice --data-dir alice            on each node
  ${COMMAND} cluster new --threshold 3 --out cluster.json */card.json
  ${COMMAND} cluster join cluster.json --data-dir alice    on each node
  ${COMMAND} start --data-dir alice                        on each node
  ${COMMAND} ceremony propose --name ecies/421614 --data-dir alice
  ${COMMAND} ceremony approve ID --data-dir bob            on each other node`

/** The command line of `kms-node`. */
export function createProgram(): Command {
  const program = new Command('kms-node')
    .description('one node of a Threshold KMS cluster')
    .version(VERSION)
    .addHelpText('after', `${EXIT_HELP}\n${EXAMPLES}`)
  for (const command of [
    initCommand(),
    clusterCommand(),
    startCommand(),
    ceremonyCommand(),
    doctorCommand(),
    evidenceCommand(),
    attestCommand(),
    auditCommand(),
    keysCommand(),
    policyCommand(),
    repairCommand(),
    backupCommand(),
    restoreCommand(),
    resealCommand(),
    eraseCommand(),
    statusCommand(),
    openapiCommand(),
  ])
    program.addCommand(withSharedOptions(command))
  return throwInsteadOfExit(program)
}

function throwInsteadOfExit(command: Command): Command {
  command.exitOverride()
  for (const inner of command.commands) throwInsteadOfExit(inner)
  return command
}

/** Runs one command line. @param argv as in `process.argv`. @returns the exit code */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync([...argv])
    return EXIT.done
  } catch (cause) {
    const json = argv.includes('--json')
    if (!(cause instanceof CommanderError)) return reportError(cause, json)
    if (cause.exitCode === 0) return EXIT.done
    // People read commander's own words on stderr.
    if (json) reportError(new KmsError('usage', cause.message.replace(/^error: /, '')), json)
    return EXIT.usage
  }
}
