import { KmsError } from '@tkms/dkg'
import { Command, CommanderError } from 'commander'
import { readSigner } from '@tkms/kms-client/node'
import { EXIT, reportError } from '../cli/output.ts'
import { createLog } from '../ops/log.ts'
import { VERSION } from '../version.ts'
import { startCombiner } from './combiner.ts'
import { loadCombinerConfig } from './config.ts'
import { readWalletKey } from './read-wallet-key.ts'
import { createWallet } from './wallet.ts'

/** How advice names this program. */
export const COMBINER_COMMAND = 'npm run --silent kms-combiner --'
/** A stop that takes longer than this is cut short. */
const STOP_TIMEOUT_MS = 15_000

const HELP = `
Settings: the YAML file, over it the NOX_KMS_ variables of a single-key deployment, over both TKMS_COMBINER_ ones
(TKMS_COMBINER_SERVER_PORT, TKMS_COMBINER_CHAINS_421614_RPC). See docs/nox.md.

It starts only when every chain's gateway() is set and its kmsPublicKey() is the cluster's key. SIGTERM and SIGINT stop it gracefully.
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.

Example:
  ${COMBINER_COMMAND} --config combiner.yaml`

interface Options {
  readonly config?: string
  readonly check?: boolean
  readonly json?: boolean
}

function createProgram(): Command {
  return new Command('kms-combiner')
    .description(
      'POST /v0/delegate of Nox, answered by a Threshold KMS cluster; its log goes to stdout, one JSON object per line',
    )
    .version(VERSION)
    .option('--config <file>', 'the YAML file', process.env['TKMS_COMBINER_CONFIG'])
    .option('--check', 'do all that a start does, say what was found on one line of JSON, and stop')
    .option('--json', 'errors as one JSON object on stdout')
    .addHelpText('after', HELP)
    .action(run)
    .exitOverride()
}

async function run(options: Options): Promise<void> {
  const { config, ignored } = await loadCombinerConfig({ file: options.config, env: process.env })
  const log = createLog({ level: options.check === true ? 'silent' : config.log.level, node: 'combiner' })
  const wallet = createWallet(await readWalletKey({ file: config.walletKeyFile, env: process.env }))
  const signer = await readSigner(config.signerFile)
  if (ignored.length > 0) log.warn({ variables: ignored }, 'variables-ignored')
  const stopped = waitForSignal()
  const server = options.check === true ? { ...config.server, port: 0 } : config.server
  const combiner = await startCombiner({ config: { ...config, server }, signer, wallet, log })
  if (options.check === true)
    process.stdout.write(`${JSON.stringify({ requester: signer.publicKeyId, chains: combiner.chains })}\n`)
  else {
    process.send?.({ type: 'ready', url: combiner.url })
    log.info({ reason: await stopped }, 'combiner-stopping')
  }
  setTimeout(() => process.exit(1), STOP_TIMEOUT_MS).unref()
  await combiner.stop()
  wallet.destroy()
  process.exit(EXIT.done)
}

/** A second signal ends it at once; a parent that started us with an IPC channel takes us along when it goes. */
function waitForSignal(): Promise<string> {
  return new Promise((resolve) => {
    let asked = false
    const onSignal = (signal: string): void => {
      if (asked) process.exit(130)
      asked = true
      resolve(signal)
    }
    process.on('SIGTERM', onSignal)
    process.on('SIGINT', onSignal)
    process.on('disconnect', () => resolve('parent gone'))
  })
}

/** Runs one command line. @param argv as in `process.argv`. @returns the exit code */
export async function runCombiner(argv: readonly string[]): Promise<number> {
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
