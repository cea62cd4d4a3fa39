import { join, resolve } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { SealerProvider } from '../seal/sealed-format.ts'
import { dataDirOf, outputOf } from './options.ts'
import { COMMAND, EXIT_HELP } from './output.ts'

interface InitOptions {
  readonly name: string
  readonly profile: 'production' | 'development'
  readonly listen: readonly string[]
  readonly announce?: readonly string[]
  readonly httpHost: string
  readonly httpPort: number
  readonly tls: boolean
  readonly publicUrl?: string
  readonly sealer: SealerProvider
  readonly passphraseFile?: string
}

function port(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0 || value > 65_535) throw new InvalidArgumentError('must be 0 to 65535')
  return value
}

/** `init`: identity, sealed store, TLS certificate, configuration, node card. */
export function initCommand(): Command {
  return new Command('init')
    .description('make a node: identity, sealed store, TLS certificate; prints its node card')
    .requiredOption('--name <name>', 'name of the node in the cluster file')
    .option('--listen <multiaddr...>', 'libp2p addresses', ['/ip4/0.0.0.0/tcp/7001'])
    .option('--announce <multiaddr...>', 'addresses that others dial; default: those of --listen')
    .option('--http-host <host>', 'where the HTTP API listens', '127.0.0.1')
    .option('--http-port <port>', 'its port', port, 7443)
    .option('--no-tls', 'plain HTTP, on a loopback host only')
    .option('--public-url <url>', 'where clients reach the HTTP API')
    .addOption(
      new Option('--sealer <provider>', 'what protects the store on disk; kms-file in the development profile only')
        .choices(['passphrase', 'tpm2', 'dstack', 'kms-file'])
        .default('passphrase'),
    )
    .option('--passphrase-file <file>', 'file with the passphrase of the sealed store; otherwise TKMS_PASSPHRASE_FILE')
    .addOption(
      new Option('--profile <profile>', 'development allows shortened timers and a cheaper passphrase hash')
        .choices(['production', 'development'])
        .default('production'),
    )
    .addHelpText(
      'after',
      `${EXIT_HELP}\n\nExample:\n  ${COMMAND} init --name alice --data-dir alice --passphrase-file alice.pass --listen /ip4/10.0.0.1/tcp/7001 --http-host 10.0.0.1`,
    )
    .action(async (options: InitOptions, command: Command) => {
      const output = outputOf(command)
      const { initialiseNode } = await import('../initialise.ts')
      const { card, config } = await initialiseNode({
        directory: dataDirOf(command),
        name: options.name,
        profile: options.profile,
        listen: options.listen,
        announce: options.announce ?? [],
        httpHost: options.httpHost,
        httpPort: options.httpPort,
        tls: options.tls,
        publicUrl: options.publicUrl,
        sealer: options.sealer,
        passphraseFile: options.passphraseFile === undefined ? undefined : resolve(options.passphraseFile),
        env: process.env,
        onWarning: (warning) => output.hint(`warning: ${warning}`),
      })
      output.result(card, [JSON.stringify(card, undefined, 2)])
      output.hint(
        `This is the public node card, also in ${join(config.dataDir, 'card.json')}. When every node has one:\n  ${COMMAND} cluster new --threshold T --out cluster.json CARD...`,
      )
    })
}
