import { createHash } from 'node:crypto'
import {
  bytesKey,
  configHash as hashOf,
  decodePolicy,
  formatAuthorization,
  formatCluster,
  MAX_PLAINTEXT_BYTES,
  parsePublicKeyId,
  verifyEnvelopeV2,
} from '@tkms/dkg'
import type { EncryptOptions } from '../encrypt.ts'
import { clientError } from '../errors.ts'
import { parseHex } from '../hex.ts'
import { nodeCurve } from '../node/client.ts'
import { readEnvelope } from '../sealed-envelope.ts'
import { readBounded, writeAtomically } from '../node/files.ts'
import { generateKeyFile, type KeyFileType } from '../node/key-files.ts'
import {
  MAX_ENVELOPE_BYTES,
  type OutputOptions,
  PRIVATE_MODE,
  PUBLIC_MODE,
  readInput,
  writeOutput,
} from './input-output.ts'
import { describePolicy } from './policy-text.ts'
import { type AskOptions, type ClusterOptions, isUrl, withClient, withOfflineClient } from './session.ts'
import type { Terminal } from './terminal.ts'

const MAX_GRANT_FILE_BYTES = 65_536

export interface EncryptCommand extends ClusterOptions, OutputOptions {
  readonly key?: string
  readonly owner: readonly string[]
  readonly envelopeVersion: '1' | '2'
  readonly chainId: number
  readonly handle?: string
  readonly format?: 'binary' | 'json'
}

function requireOwner(owner: string): void {
  try {
    parsePublicKeyId(owner)
  } catch (cause) {
    throw clientError(
      'bad-argument',
      `--owner ${owner} is no public name: give what keygen printed, ed25519: and the key, or eip712:0x and an address, in lower case`,
      { cause },
    )
  }
}

/** `tkms encrypt`: a file or standard input into an envelope, offline. */
export async function runEncrypt(terminal: Terminal, input: string, options: EncryptCommand): Promise<void> {
  if (options.envelopeVersion === '1' && (options.owner.length > 0 || options.chainId !== 0))
    throw clientError('bad-argument', 'a version 1 envelope is bound to no owner and no chain')
  options.owner.forEach(requireOwner)
  await withOfflineClient(terminal, options, async (kms) => {
    const plaintext = await readInput(terminal, input, MAX_PLAINTEXT_BYTES)
    const common = {
      ...(options.key === undefined ? {} : { key: options.key }),
      ...(options.handle === undefined ? {} : { handle: parseHex(options.handle, 32, '--handle') }),
    }
    const call: EncryptOptions =
      options.envelopeVersion === '1'
        ? { ...common, version: 1 }
        : { ...common, owners: options.owner, chainId: options.chainId }
    const sealed = await kms.encrypt(plaintext, call)
    const readable = options.out === undefined && terminal.stdoutIsTty
    const format = options.format ?? (readable ? 'json' : 'binary')
    const data = format === 'json' ? new TextEncoder().encode(`${JSON.stringify(sealed)}\n`) : sealed.toBytes()
    const { envelope } = sealed
    const handle = envelope.version === 1 ? envelope.handle : envelope.header.label.handle
    await writeOutput(terminal, data, { ...options, mode: PUBLIC_MODE, report: { handle: `0x${bytesKey(handle)}` } })
    if (options.envelopeVersion === '2' && options.owner.length === 0 && !options.json)
      terminal.writeErr(
        'warning: no --owner was named, so this opens with a grant of an issuer that the nodes list, or never\n',
      )
  })
}

export interface DecryptCommand extends AskOptions, OutputOptions {
  readonly key?: string
  readonly grant?: string
  readonly chainId: number
}

const callOptions = async (
  options: Pick<DecryptCommand, 'key' | 'grant' | 'chainId'>,
): Promise<{ key?: string; grant?: Uint8Array; chainId: number }> => ({
  ...(options.key === undefined ? {} : { key: options.key }),
  ...(options.grant === undefined ? {} : { grant: await readBounded(options.grant, MAX_GRANT_FILE_BYTES) }),
  chainId: options.chainId,
})

/** `tkms decrypt`: an envelope into its plaintext, through t nodes. */
export async function runDecrypt(terminal: Terminal, input: string, options: DecryptCommand): Promise<void> {
  await withClient(terminal, options, async (kms) => {
    const envelope = await readInput(terminal, input, MAX_ENVELOPE_BYTES)
    const plaintext = await kms.decrypt(envelope, { ...(await callOptions(options)), signal: terminal.signal })
    await writeOutput(terminal, plaintext, { ...options, mode: PRIVATE_MODE, report: { bytes: `${plaintext.length}` } })
    plaintext.fill(0)
  })
}

/** `tkms request`: the signed request that `decrypt` would send, as the JSON object nodes take. Sends nothing. */
export async function runRequest(terminal: Terminal, input: string, options: DecryptCommand): Promise<void> {
  await withClient(terminal, options, async (kms) => {
    const envelope = await readInput(terminal, input, MAX_ENVELOPE_BYTES)
    const request = await kms.request(envelope, await callOptions(options))
    const data = new TextEncoder().encode(`${JSON.stringify(formatAuthorization(request.authorization))}\n`)
    const { spki } = await kms.requesterKey()
    const report = {
      requestHash: `0x${bytesKey(request.requestHash)}`,
      recipientSpkiHash: `0x${createHash('sha256').update(spki).digest('hex')}`,
    }
    await writeOutput(terminal, data, { ...options, mode: PUBLIC_MODE, report })
  })
}

const HAND_OVER = {
  none: 'none: the committee that made the key',
  full: 'authorised by a quorum of the committee before',
  degraded: 'authorised by less than a quorum of the committee before, accepted by its config hash',
} as const

/** `tkms verify`: every check that needs no node: the cluster file, its certificates and, if given, an envelope. */
export async function runVerify(
  terminal: Terminal,
  input: string | undefined,
  options: ClusterOptions & { readonly json: boolean },
): Promise<void> {
  await withOfflineClient(terminal, options, async (kms) => {
    const { config, configHash } = kms.cluster
    const report = {
      clusterId: `0x${bytesKey(config.clusterId)}`,
      configHash: `0x${bytesKey(configHash)}`,
      nodes: config.n,
      threshold: config.t,
      keys: kms.keys.map((key) => ({
        name: key.keyName,
        generation: key.generation,
        epoch: key.epoch,
        sharingId: `0x${bytesKey(key.sharingId)}`,
        committee: `${key.t} of ${key.config.n}`,
        committeeHash: `0x${bytesKey(hashOf(key.config))}`,
        handOver: HAND_OVER[key.authorization],
        keyId: `0x${bytesKey(key.keyId)}`,
        publicKey: `0x${bytesKey(key.groupKey)}`,
      })),
      ...(input === undefined
        ? {}
        : { envelope: verifyEnvelope(await readInput(terminal, input, MAX_ENVELOPE_BYTES), kms.keys) }),
    }
    await terminal.writeOut(options.json ? `${JSON.stringify(report)}\n` : `${formatReport(report)}\n`)
  })
}

export interface FollowCommand extends ClusterOptions {
  readonly out?: string
  readonly json: boolean
}

/** `tkms follow`: the cluster file with the certificates and addresses that the nodes have made known since. */
export async function runFollow(terminal: Terminal, options: FollowCommand): Promise<void> {
  const out = options.out ?? options.cluster
  if (isUrl(out)) throw clientError('bad-argument', 'a cluster file from a URL needs --out')
  await withOfflineClient(terminal, options, async (kms) => {
    const changed = await kms.follow({ signal: terminal.signal })
    const file = new TextEncoder().encode(`${JSON.stringify(formatCluster(kms.cluster), undefined, 2)}\n`)
    if (changed || out !== options.cluster) await writeAtomically(out, file, { force: true, mode: PUBLIC_MODE })
    const keys = kms.keys.map(({ keyName, generation, epoch }) => ({ name: keyName, generation, epoch }))
    const report = { changed: `${changed}`, keys }
    await terminal.writeOut(options.json ? `${JSON.stringify({ changed, keys })}\n` : `${formatReport(report)}\n`)
  })
}

function verifyEnvelope(
  bytes: Uint8Array,
  keys: readonly { readonly keyId: Uint8Array; readonly keyName: string; readonly generation: number }[],
): Readonly<Record<string, string | number>> {
  const { curve } = nodeCurve()
  const envelope = readEnvelope(curve, bytes)
  if (envelope.version === 1)
    return {
      version: 1,
      handle: `0x${bytesKey(envelope.handle)}`,
      boundTo: 'nothing: version 1 proves no key and no owner',
    }
  if (!verifyEnvelopeV2(curve, envelope))
    throw clientError('bad-envelope', 'the header proof does not cover this ciphertext, key and policy')
  const { header, policy } = envelope
  const key = keys.find(({ keyId }) => bytesKey(keyId) === bytesKey(header.keyId))
  if (key === undefined)
    throw clientError('unknown-key', 'the envelope is sealed to a key this cluster file does not certify')
  return {
    version: 2,
    key: key.keyName,
    generation: key.generation,
    chainId: header.label.chainId,
    handle: `0x${bytesKey(header.label.handle)}`,
    owners: describePolicy(decodePolicy(policy)),
  }
}

type Report = string | number | readonly Report[] | { readonly [name: string]: Report }

/** One "name value" per line, nested values indented. */
function formatReport(value: Report, indent = ''): string {
  if (typeof value !== 'object') return `${indent}${value}`
  return Object.entries(value)
    .map(([name, inner]: readonly [string, Report]) =>
      typeof inner === 'object'
        ? `${indent}${name}\n${formatReport(inner, `${indent}  `)}`
        : `${indent}${name} ${inner}`,
    )
    .join('\n')
}

/** `tkms keygen`: a private key file for its owner alone, and the public name of it. */
export async function runKeygen(
  terminal: Terminal,
  options: { readonly out: string; readonly type: KeyFileType; readonly force: boolean; readonly json: boolean },
): Promise<void> {
  const { pem, name } = await generateKeyFile(options.type)
  await writeAtomically(options.out, pem, { force: options.force, mode: PRIVATE_MODE })
  pem.fill(0)
  await terminal.writeOut(options.json ? `${JSON.stringify({ written: options.out, name })}\n` : `${name}\n`)
}
