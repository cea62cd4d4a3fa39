import { type Command, InvalidArgumentError } from 'commander'
import { KmsError, type Secret } from '@tkms/dkg'
import type { AdminClient } from '../admin/admin-client.ts'
import { MAX_KEY_FILE_BYTES, parseImportedKey } from '../ceremony/import-key.ts'
import type { CeremonyStatus } from '../ceremony/status.ts'
import { parseNodeCard } from '../cluster/node-card.ts'
import { readBounded } from '../files.ts'
import { connect } from './options.ts'
import { COMMAND, EXIT_HELP, type Output } from './output.ts'
import { describeProposal } from './describe-ceremony.ts'
import { watchCeremony } from './watch-ceremony.ts'

const MAX_CARD_BYTES = 64 * 1024

interface ProposeOptions {
  readonly name?: string
  readonly reshare?: string
  readonly refresh?: string
  readonly import?: string
  readonly keyFile?: string
  readonly purpose: string
  readonly like?: string
  readonly generation?: number
  readonly add?: readonly string[]
  readonly remove?: readonly string[]
  readonly threshold?: number
  readonly lowerThreshold?: boolean
  readonly degraded?: boolean
  readonly supersede?: boolean
  readonly hours?: number
  readonly watch?: boolean
}

const EXAMPLES = `
Examples:
  ${COMMAND} ceremony propose --name ecies/421614 --watch
  ${COMMAND} ceremony propose --refresh ecies/421614
  ${COMMAND} ceremony propose --reshare ecies/421614 --add frank.json grace.json --threshold 4
  ${COMMAND} ceremony propose --reshare ecies/421614 --remove bob --add frank
  ${COMMAND} ceremony propose --import ecies/421614 --key-file old-kms.hex
  ${COMMAND} ceremony propose --import ecies/421615 --key-file old-kms.hex --like ecies/421614
  cat old-kms.hex | ${COMMAND} ceremony propose --import ecies/421614 --key-file -`

export function positiveInteger(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('must be a whole number above 0')
  return value
}

/** A threshold, 2 to 63; whether it fits the members is seen later. */
export function thresholdOf(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 2 || value > 63)
    throw new InvalidArgumentError('must be a whole number from 2 to 63')
  return value
}

/** `ceremony propose`: exactly one of a new key, new shares, another committee, an existing key. */
export function addPropose(ceremony: Command): void {
  ceremony
    .command('propose')
    .description('propose a ceremony to its members and approve it on this node')
    .option('--name <key>', 'a new key, for example ecies/421614')
    .option('--refresh <key>', 'new shares of an existing key for the same committee')
    .option('--reshare <key>', 'new shares of an existing key for another committee: --add, --remove, --threshold')
    .option('--import <key>', 'an existing secp256k1 key becomes a key of the committee: --key-file')
    .option('--key-file <file>', 'the key to import: hex, 32 raw bytes, PEM or DER; - is standard input')
    .option('--purpose <purpose>', 'what a new or imported key is for: ecies-dec', 'ecies-dec')
    .option('--like <key>', 'a new or imported key goes to the committee that holds this one')
    .option('--add <nodes...>', 'cards of new nodes, or names of nodes in the cluster file')
    .option('--remove <nodes...>', 'names or indices of members that leave')
    .option('--threshold <t>', 'nodes that must answer from now on', thresholdOf)
    .option('--lower-threshold', 'confirm that fewer nodes than before will be enough')
    .option(
      '--degraded',
      'act although more of the old committee is lost than it tolerates: compare the new committee by hand',
    )
    .option('--supersede', 'give the open attempt up: its new members are lost and it can neither end nor be abandoned')
    .option('--generation <number>', 'of the key; default: the first, or the newest', positiveInteger)
    .option('--hours <number>', 'how long nodes may still begin; default 24', positiveInteger)
    .option('--watch', 'stay until it is complete')
    .addHelpText('after', `${EXIT_HELP}\n${EXAMPLES}`)
    .action(propose)
}

async function propose(options: ProposeOptions, command: Command): Promise<void> {
  const kinds = [options.name, options.refresh, options.reshare, options.import].filter((key) => key !== undefined)
  if (kinds.length !== 1) return command.error('error: give exactly one of --name, --refresh, --reshare, --import')
  if ((options.import === undefined) !== (options.keyFile === undefined))
    return command.error('error: --import and --key-file belong together: a key is never an argument')
  if (options.reshare === undefined && (options.add ?? options.remove ?? options.threshold) !== undefined)
    return command.error('error: --add, --remove and --threshold belong to --reshare')
  const { add, remove, threshold, lowerThreshold, degraded, supersede } = options
  if (options.reshare !== undefined && (add ?? remove ?? threshold) === undefined)
    return command.error(
      'error: --reshare needs --add, --remove or --threshold; --refresh gives the same committee new shares',
    )
  if ((options.reshare ?? options.refresh) === undefined && (lowerThreshold ?? degraded ?? supersede) !== undefined)
    return command.error('error: --lower-threshold, --degraded and --supersede belong to --reshare and --refresh')
  if (options.like !== undefined && (options.name ?? options.import) === undefined)
    return command.error('error: --like belongs to --name and --import')
  const { client, output } = await connect(command)
  const status = await post(client, options)
  await report(client, output, status, options.watch === true)
}

async function post(client: AdminClient, options: ProposeOptions): Promise<CeremonyStatus> {
  const { generation, purpose, hours } = options
  const lifetimeS = hours === undefined ? undefined : hours * 3600
  if (options.import !== undefined) return await postImport(client, options, lifetimeS)
  if (options.name !== undefined) {
    const body = { kind: 'keygen', keyName: options.name, purpose, generation, lifetimeS, like: options.like }
    return (await client.post('/ceremonies', body)) as CeremonyStatus
  }
  const { threshold, lowerThreshold, degraded, supersede, remove } = options
  const keyName = options.reshare ?? options.refresh
  const add = await Promise.all((options.add ?? []).map(readNode))
  const change = { add, remove, threshold, lowerThreshold, degraded, supersede }
  return (await client.post('/ceremonies', {
    kind: 'reshare',
    keyName,
    generation,
    lifetimeS,
    ...change,
  })) as CeremonyStatus
}

/** The name of a node, or its card where there is such a file. */
async function readNode(nameOrFile: string): Promise<unknown> {
  const isFile = /[/\\]|\.json$/.test(nameOrFile)
  const bytes = await readBounded(nameOrFile, MAX_CARD_BYTES).catch((cause: unknown) => {
    if (isFile) throw new KmsError('bad-node-card', `${nameOrFile} cannot be read`, { cause })
    return undefined
  })
  if (bytes === undefined && isFile) throw new KmsError('bad-node-card', `${nameOrFile} does not exist`)
  if (bytes === undefined) return nameOrFile
  const { publicKey: _known, ...card } = parseNodeCard(parseJson(bytes, nameOrFile), nameOrFile)
  return card
}

function parseJson(bytes: Uint8Array, source: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch (cause) {
    throw new KmsError('bad-node-card', `${source} is not JSON`, { cause })
  }
}

async function postImport(
  client: AdminClient,
  { import: keyName = '', purpose, generation, like, keyFile = '-' }: ProposeOptions,
  lifetimeS: number | undefined,
): Promise<CeremonyStatus> {
  const key = await readKey(keyFile)
  const query = new URLSearchParams({ keyName, purpose })
  if (generation !== undefined) query.set('generation', String(generation))
  if (like !== undefined) query.set('like', like)
  if (lifetimeS !== undefined) query.set('lifetimeS', String(lifetimeS))
  try {
    return (await client.postSecret(`/imports?${query.toString()}`, key)) as CeremonyStatus
  } finally {
    key.destroy()
  }
}

async function readKey(file: string): Promise<Secret> {
  const bytes = file === '-' ? await readStdin() : await readBounded(file, MAX_KEY_FILE_BYTES)
  if (bytes === undefined) throw new KmsError('bad-key-file', `${file} does not exist`)
  return parseImportedKey(bytes)
}

async function readStdin(): Promise<Uint8Array> {
  const bytes = new Uint8Array(MAX_KEY_FILE_BYTES)
  let length = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    if (length + chunk.length > bytes.length) throw new KmsError('bad-key-file', 'standard input is too long for a key')
    bytes.set(chunk, length)
    length += chunk.length
    chunk.fill(0)
  }
  return bytes.subarray(0, length)
}

/** What was proposed, what the others do, and for an import what must happen to the old copy. */
export async function report(
  client: AdminClient,
  output: Output,
  status: CeremonyStatus,
  watch: boolean,
): Promise<void> {
  for (const line of describeProposal(status)) output.hint(line)
  if (!watch) {
    output.result(status, [status.ceremony])
    output.hint(`On every other node of it:\n  ${COMMAND} ceremony approve ${status.ceremony} --data-dir DIR`)
  }
  if (status.kind === 'import')
    output.hint(
      'Until its shares are refreshed and every copy is erased at the source, whoever has the old copy has the whole key.\n' +
        `When it is complete:\n  ${COMMAND} ceremony propose --refresh ${status.keyName} --data-dir DIR\nthen erase the key where it came from, with every backup of it.`,
    )
  if (watch) await watchCeremony(client, status.ceremony, output)
}
