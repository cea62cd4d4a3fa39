import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { createNodeKmsClient } from '../node/client.ts'
import type { KmsClient } from '../client-types.ts'
import { clientError, isKmsError } from '../errors.ts'
import { libp2p } from '../node/libp2p.ts'
import { pinnedHttp } from '../node/pinned-http.ts'
import { readBounded, readPrivate, writeAtomically } from '../node/files.ts'
import { readRecipient, readSigner } from '../node/key-files.ts'
import type { RequestSigner } from '../signer.ts'
import type { Terminal } from './terminal.ts'

/** Options every command that knows a cluster has. */
export interface ClusterOptions {
  /** A file, or a URL (which needs the config hash). */
  readonly cluster: string
  readonly configHash?: string
  readonly acceptConfigHash: readonly string[]
}

/** Options of commands that ask nodes. */
export interface AskOptions extends ClusterOptions {
  readonly transport: 'http' | 'libp2p'
  readonly signer: string
  readonly recipientKey?: string
  readonly tokenFile?: string
  readonly timeout: number
  /** A directory. */
  readonly evidence?: string
}

const MAX_CLUSTER_FILE_BYTES = 32 * 1024 * 1024
const MAX_TOKEN_FILE_BYTES = 1024
const URL_PATTERN = /^https?:\/\//

export const isUrl = (cluster: string): boolean => URL_PATTERN.test(cluster)

async function clusterSource(options: ClusterOptions): Promise<unknown> {
  if (!isUrl(options.cluster)) return readJsonFile(options.cluster)
  if (options.configHash === undefined)
    throw clientError('bad-argument', 'a cluster file from a URL needs --config-hash')
  return { url: options.cluster, configHash: options.configHash }
}

async function readJsonFile(path: string): Promise<unknown> {
  const bytes = await readBounded(path, MAX_CLUSTER_FILE_BYTES)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw clientError('bad-argument', `${path} is not JSON`, { cause })
  }
}

const pinsOf = (
  options: ClusterOptions,
): { readonly configHash?: string; readonly acceptedConfigHashes: readonly string[] } => ({
  ...(options.configHash === undefined ? {} : { configHash: options.configHash }),
  acceptedConfigHashes: options.acceptConfigHash,
})

/** Runs `work` with a client that asks no node, and closes it. @param signer of what is signed offline */
export async function withOfflineClient<T>(
  terminal: Terminal,
  options: ClusterOptions,
  work: (client: KmsClient) => Promise<T>,
  signer?: RequestSigner,
): Promise<T> {
  const cluster = await clusterSource(options)
  const signs = signer === undefined ? {} : { signer }
  return closing(await createNodeKmsClient({ cluster, ...pinsOf(options), ...signs, signal: terminal.signal }), work)
}

/** Runs `work` with a client that can ask, and closes it. Failed nodes are named on the way. */
export async function withClient<T>(
  terminal: Terminal,
  options: AskOptions,
  work: (client: KmsClient) => Promise<T>,
): Promise<T> {
  const signer = await readSigner(options.signer)
  const requesterKey = options.recipientKey === undefined ? undefined : await readRecipient(options.recipientKey)
  const token = options.tokenFile === undefined ? undefined : await readToken(options.tokenFile)
  const kept: Promise<void>[] = []
  const client = await createNodeKmsClient({
    cluster: await clusterSource(options),
    ...pinsOf(options),
    signer,
    ...(requesterKey === undefined ? {} : { requesterKey }),
    ...(token === undefined ? {} : { token }),
    transport: options.transport === 'libp2p' ? libp2p() : pinnedHttp(),
    limits: { totalTimeoutMs: options.timeout * 1000 },
    signal: terminal.signal,
    onNodeFailure: (failure) => {
      const { index, name, code, detail } = failure
      if (terminal.stderrIsTty) terminal.writeErr(`node ${index} ${name}: ${code}: ${detail}\n`)
      if (options.evidence !== undefined && failure.evidence !== undefined)
        kept.push(keepEvidence(terminal, options.evidence, failure.index, failure.evidence))
    },
  })
  try {
    return await closing(client, work)
  } finally {
    await Promise.all(kept)
  }
}

/** Nothing but the token and spaces around it. */
const readToken = async (path: string): Promise<string> =>
  new TextDecoder().decode(await readPrivate(path, MAX_TOKEN_FILE_BYTES)).trim()

/** Evidence E6 as a file that `kms-node evidence verify` reads. The command goes on without it. */
async function keepEvidence(terminal: Terminal, directory: string, index: number, evidence: Uint8Array): Promise<void> {
  const name = `E6-node-${index}-${createHash('sha256').update(evidence).digest('hex').slice(0, 16)}.bin`
  try {
    await writeAtomically(join(directory, name), evidence, { force: true, mode: 0o644 })
    terminal.writeErr(`node ${index} answered wrongly: the evidence is in ${join(directory, name)}\n`)
  } catch (error) {
    if (!isKmsError(error)) throw error
    terminal.writeErr(`evidence against node ${index} could not be kept: ${error.message}\n`)
  }
}

async function closing<T>(client: KmsClient, work: (client: KmsClient) => Promise<T>): Promise<T> {
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}
