import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import {
  type DecryptCommand,
  type EncryptCommand,
  type FollowCommand,
  runDecrypt,
  runEncrypt,
  runFollow,
  runKeygen,
  runRequest,
  runVerify,
} from './commands.ts'
import { clientError } from '../errors.ts'
import { type GrantCommand, runGrant } from './grant-command.ts'
import { EXIT_CODES, exitCodeOf } from './exit-codes.ts'
import type { ClusterOptions } from './session.ts'
import { COMMAND, reportError, type Terminal } from './terminal.ts'

const EXIT_CODE_HELP = `
Exit codes:
  0    done
  1    an unexpected failure
  2    wrong options, unreadable or malformed input, an output that exists
  3    too few nodes answered
  4    the cluster file, its pin or a certificate cannot be trusted
  130  interrupted`

const examples = (...lines: readonly string[]): string =>
  `\nExamples:\n${lines.map((line) => `  ${COMMAND} ${line}`).join('\n')}\n${EXIT_CODE_HELP}`

function naturalNumber(text: string): number {
  const value = Number(text)
  if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(value)) throw new InvalidArgumentError('not a number')
  return value
}

function timeoutSeconds(text: string): number {
  const value = naturalNumber(text)
  if (value < 1 || value > 3_000) throw new InvalidArgumentError('1 to 3000 seconds')
  return value
}

const collect = (value: string, previous: readonly string[]): readonly string[] => [...previous, value]

const clusterOptions = (command: Command): Command =>
  command
    .requiredOption('--cluster <file|url>', 'the cluster file')
    .option('--config-hash <0x..>', 'the config hash it must have; required with a URL')
    .option(
      '--accept-config-hash <0x..>',
      'a later committee that you know to be right although too few of the one before authorised it; repeat for several',
      collect,
      [],
    )
    .option('--json', 'machine-readable reports and errors', false)

const outputOptions = (command: Command): Command =>
  command
    .option('--out <file>', 'write to this file instead of standard output')
    .option('--force', 'replace an existing output file', false)

const askOptions = (command: Command): Command =>
  outputOptions(clusterOptions(command))
    .requiredOption('--signer <file>', 'the key that signs the request (see keygen)')
    .option('--token-file <file>', 'a bearer token for policies that ask for one, in a file that only you can read')
    .option('--recipient-key <file>', 'the RSA key answers are boxed to; a fresh one unless given')
    .option('--grant <file>', 'a grant that allows it (see grant), issued for this signer and this --recipient-key')
    .option('--key <name|0x..>', 'the key of a version 1 envelope')
    .option('--chain-id <number>', 'the chain of a version 1 envelope', naturalNumber, 0)
    .addOption(new Option('--transport <name>', 'how nodes are reached').choices(['http', 'libp2p']).default('http'))
    .option('--timeout <seconds>', 'for everything together', timeoutSeconds, 30)
    .option('--evidence <directory>', 'where evidence against nodes that answer wrongly is written')

/** Builds `tkms`. Its actions throw; `runCli` turns that into messages and exit codes. */
function createProgram(terminal: Terminal): Command {
  const program = new Command('tkms')
    .description('Encrypt to a Threshold KMS cluster, and decrypt by asking t of its nodes.')
    .addHelpText('after', EXIT_CODE_HELP)

  outputOptions(clusterOptions(program.command('encrypt')))
    .description('encrypt a file or standard input, offline')
    .argument('[input]', 'a file, or - for standard input', '-')
    .option('--key <name|0x..>', 'the key to encrypt to; needed only if the cluster has several')
    .option(
      '--owner <id>',
      'who may open it, "ed25519:.." or "eip712:0x.."; repeat for any one of several; without it only a grant opens it',
      collect,
      [],
    )
    .addOption(new Option('--envelope-version <n>', '1 is for readers of Nox only').choices(['1', '2']).default('2'))
    .option('--chain-id <number>', 'bind it to a chain', naturalNumber, 0)
    .option('--handle <0x..>', 'its 32-byte name; random unless given')
    .addOption(new Option('--format <name>', 'default: binary, json on a terminal').choices(['binary', 'json']))
    .addHelpText('after', examples('encrypt --cluster cluster.json --owner ed25519:<key> secret.txt --out secret.tkms'))
    .action((input: string, options: EncryptCommand) => runEncrypt(terminal, input, options))

  askOptions(program.command('decrypt'))
    .description('decrypt an envelope through the cluster')
    .argument('[input]', 'a file, or - for standard input', '-')
    .addHelpText('after', examples('decrypt --cluster cluster.json --signer signer.pem secret.tkms --out secret.txt'))
    .action((input: string, options: DecryptCommand) => runDecrypt(terminal, input, options))

  askOptions(program.command('request'))
    .description('print the signed request that decrypt would send, and send nothing')
    .argument('[input]', 'a file, or - for standard input', '-')
    .addHelpText('after', examples('request --cluster cluster.json --signer signer.pem secret.tkms --out request.json'))
    .action((input: string, options: DecryptCommand) => runRequest(terminal, input, options))

  outputOptions(clusterOptions(program.command('grant')))
    .description(
      'sign that somebody may have an envelope opened, for policies that list you as an issuer; sends nothing',
    )
    .argument('[input]', 'the envelope: a file, or - for standard input', '-')
    .requiredOption('--signer <file>', 'your key, whose public name the policies list under issuers')
    .requiredOption('--requester <id>', 'who may ask, "ed25519:.." or "eip712:0x.."')
    .requiredOption('--recipient <id>', 'the RSA key that answers go to: what keygen --type recipient printed')
    .option('--lifetime <seconds>', 'how long it holds', naturalNumber, 3600)
    .option('--key <name|0x..>', 'the key of a version 1 envelope')
    .option('--chain-id <number>', 'the chain of a version 1 envelope', naturalNumber, 0)
    .addHelpText(
      'after',
      examples(
        'grant --cluster cluster.json --signer signer.pem --requester ed25519:<key> --recipient spki-sha256:<hash> secret.tkms --out grant.bin',
      ),
    )
    .action((input: string, options: GrantCommand) => runGrant(terminal, input, options))

  clusterOptions(program.command('verify'))
    .description('check a cluster file with its certificates, and an envelope if given; asks no node')
    .argument('[envelope]', 'a file, or - for standard input')
    .addHelpText('after', examples('verify --cluster cluster.json', 'verify --cluster cluster.json secret.tkms --json'))
    .action((input: string | undefined, options: ClusterOptions & { json: boolean }) =>
      runVerify(terminal, input, options),
    )

  clusterOptions(program.command('follow'))
    .description('ask the nodes for newer certificates, and bring the cluster file up to date')
    .option('--out <file>', 'write to this file instead of the cluster file itself; needed with a URL')
    .addHelpText('after', examples('follow --cluster cluster.json'))
    .action((options: FollowCommand) => runFollow(terminal, options))

  program
    .command('keygen')
    .description('make a private key file (mode 0600) and print its public name')
    .requiredOption('--out <file>', 'the key file')
    .addOption(
      new Option('--type <name>', 'signer: signs requests; recipient: the RSA key a grant is issued to')
        .choices(['signer', 'recipient'])
        .default('signer'),
    )
    .option('--force', 'replace an existing file', false)
    .option('--json', 'machine-readable reports and errors', false)
    .addHelpText('after', examples('keygen --out signer.pem', 'keygen --type recipient --out recipient.pem'))
    .action((options: { out: string; type: 'signer' | 'recipient'; force: boolean; json: boolean }) =>
      runKeygen(terminal, options),
    )

  for (const command of [program, ...program.commands])
    command.exitOverride().configureOutput({
      writeOut: (text) => void terminal.writeOut(text),
      writeErr: (text) => terminal.writeErr(text),
    })
  return program
}

/**
 * Runs `tkms`.
 * @param args without the interpreter and the script
 * @returns the exit code
 */
export async function runCli(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    await createProgram(terminal).parseAsync(args, { from: 'user' })
    return EXIT_CODES.ok
  } catch (error) {
    const json = args.includes('--json')
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT_CODES.ok
      // People read commander's own words on stderr.
      if (json)
        await reportError(terminal, clientError('bad-argument', error.message.replace(/^error: /, '')), { json })
      return EXIT_CODES.usage
    }
    await reportError(terminal, error, { json })
    return exitCodeOf(error)
  }
}
