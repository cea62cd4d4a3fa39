import { resolve } from 'node:path'
import type { Command } from 'commander'
import { type AdminClient, connectAdmin } from '../admin/admin-client.ts'
import { createOutput, type Output } from './output.ts'

interface SharedOptions {
  readonly dataDir: string
  readonly json?: boolean
}

/** The options that every command takes, wherever on the line they stand. */
export function withSharedOptions(command: Command): Command {
  for (const inner of command.commands) withSharedOptions(inner)
  if (command.commands.length > 0) return command
  return command
    .option('--data-dir <dir>', 'where node.yaml and the sealed store are', process.env['TKMS_DATA_DIR'] ?? 'kms-data')
    .option('--json', 'one JSON object per line on stdout instead of text')
}

export const dataDirOf = (command: Command): string => resolve(command.opts<SharedOptions>().dataDir)

export const outputOf = (command: Command): Output => createOutput(command.opts<SharedOptions>().json === true)

/** The running node of this data directory, and where this command writes. @throws KmsError `node-not-running` */
export async function connect(command: Command): Promise<{ readonly client: AdminClient; readonly output: Output }> {
  return { client: await connectAdmin(dataDirOf(command)), output: outputOf(command) }
}
