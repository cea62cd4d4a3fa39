import { KmsError } from '@tkms/dkg'
import { Command } from 'commander'
import { loadNodeConfig } from '../config/node-config.ts'
import type { NodeConfig } from '../config/types.ts'
import { readBounded } from '../files.ts'
import { type PcrValues, parsePcrValues } from '../seal/pcr-values.ts'
import { dataDirOf, outputOf } from './options.ts'
import { COMMAND, EXIT_HELP } from './output.ts'

const MAX_FILE_BYTES = 64 * 1024

/** `reseal`: lets a store that a TPM seals open after another start of the machine. */
export function resealCommand(): Command {
  return new Command('reseal')
    .description(
      'seal the store of a stopped node anew to what this machine started, and with --expect also to what it will start next; nothing else opens it then',
    )
    .option(
      '--expect <file>',
      'what tpm2_pcrread prints where the new firmware or kernel runs; repeat for up to three',
      (file: string, earlier: readonly string[]) => [...earlier, file],
      [],
    )
    .addHelpText(
      'after',
      `${EXIT_HELP}\n\nFor sealer.provider tpm2. Before an update: reseal --expect FILE, then update and reboot. After it: reseal alone, which\nshuts the store to the former system. When the values were predicted wrongly the former system still opens it.\n\nExample:\n  ${COMMAND} reseal --expect pcrs.txt --data-dir alice`,
    )
    .action(reseal)
}

async function reseal({ expect }: { readonly expect: readonly string[] }, command: Command): Promise<void> {
  const directory = dataDirOf(command)
  const config = await loadNodeConfig({ directory, env: process.env })
  const { sealer: settings } = config
  if (settings.provider !== 'tpm2')
    throw new KmsError(
      'nothing-to-reseal',
      `sealer.provider is ${settings.provider}, which opens whatever this machine started: there is nothing to do before an update`,
      { data: { provider: settings.provider } },
    )
  const expected = await Promise.all(expect.map((file) => readPcrValues(file, settings)))
  const { withNodeStore } = await import('../open-node-store.ts')
  await withNodeStore(config, process.env, async (store, sealer) => {
    await sealer.reseal?.(expected)
    await store.renew()
  })
  const { pcrs } = settings
  const output = outputOf(command)
  output.result({ directory, pcrs, sealedTo: ['present', ...expect] }, [
    `${directory} opens with the present values of the PCRs ${pcrs}${expect.map((file) => `, and with those in ${file}`).join('')}, and with no others`,
  ])
  if (expect.length > 0)
    output.hint(`After the update, once the node runs:\n  ${COMMAND} reseal --data-dir ${directory}`)
}

async function readPcrValues(
  file: string,
  { pcrs }: Extract<NodeConfig['sealer'], { readonly provider: 'tpm2' }>,
): Promise<PcrValues> {
  const bytes = await readBounded(file, MAX_FILE_BYTES).catch((cause: unknown) => {
    throw new KmsError('bad-pcr-values', `${file} cannot be read`, { cause, data: { file, pcrs } })
  })
  if (bytes === undefined) throw new KmsError('bad-pcr-values', `${file} does not exist`, { data: { file, pcrs } })
  return parsePcrValues(Buffer.from(bytes).toString('latin1'), pcrs, file)
}
