import { resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
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

const HASH = /^0x[0-9a-f]{64}$/

function addHash(text: string, earlier: readonly string[]): readonly string[] {
  if (!HASH.test(text)) throw new InvalidArgumentError('must be 0x and 64 lower-case hex digits')
  return [...earlier, text]
}

/** For commands that follow certificates; the words are those of `tkms`. */
export const acceptOption = (command: Command): Command =>
  command.option(
    '--accept-config-hash <hash>',
    'a later committee that you know to be right although too few of the one before authorised it; repeat for several',
    addHash,
    [],
  )

/** Config hashes, 32 bytes each. */
export const acceptedOf = (command: Command): readonly Uint8Array[] =>
  command
    .opts<{ readonly acceptConfigHash: readonly string[] }>()
    .acceptConfigHash.map((text) => Uint8Array.from(Buffer.from(text.slice(2), 'hex')))

export const dataDirOf = (command: Command): string => resolve(command.opts<SharedOptions>().dataDir)

export const outputOf = (command: Command): Output => createOutput(command.opts<SharedOptions>().json === true)

/** The running node of this data directory, and where this command writes. @throws KmsError `node-not-running` */
export async function connect(command: Command): Promise<{ readonly client: AdminClient; readonly output: Output }> {
  return { client: await connectAdmin(dataDirOf(command)), output: outputOf(command) }
}
