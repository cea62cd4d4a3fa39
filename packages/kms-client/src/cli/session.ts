import { createNodeKmsClient } from '../node/client.ts'
import type { KmsClient } from '../client.ts'
import { clientError } from '../errors.ts'
import { libp2p } from '../node/libp2p.ts'
import { pinnedHttp } from '../node/pinned-http.ts'
import { readBounded } from '../node/files.ts'
import { readRecipient, readSigner } from '../node/key-files.ts'
import type { Terminal } from './terminal.ts'

/** Options every command that knows a cluster has. */
export interface ClusterOptions {
  /** A file, or a URL (which needs the config hash). */
  readonly cluster: string
  readonly configHash?: string
}

/** Options of commands that ask nodes. */
export interface AskOptions extends ClusterOptions {
  readonly transport: 'http' | 'libp2p'
  readonly signer: string
  readonly recipientKey?: string
  readonly timeout: number
}

const MAX_CLUSTER_FILE_BYTES = 32 * 1024 * 1024
const URL_PATTERN = /^https?:\/\//

async function clusterSource(options: ClusterOptions): Promise<unknown> {
  if (!URL_PATTERN.test(options.cluster)) return readJsonFile(options.cluster)
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

const pinOf = (options: ClusterOptions): { readonly configHash?: string } =>
  options.configHash === undefined ? {} : { configHash: options.configHash }

/** Runs `work` with a client that cannot ask, and closes it. */
export async function withOfflineClient<T>(
  terminal: Terminal,
  options: ClusterOptions,
  work: (client: KmsClient) => Promise<T>,
): Promise<T> {
  const cluster = await clusterSource(options)
  return closing(await createNodeKmsClient({ cluster, ...pinOf(options), signal: terminal.signal }), work)
}

/** Runs `work` with a client that can ask, and closes it. Failed nodes are named on the way. */
export async function withClient<T>(
  terminal: Terminal,
  options: AskOptions,
  work: (client: KmsClient) => Promise<T>,
): Promise<T> {
  const signer = await readSigner(options.signer)
  const requesterKey = options.recipientKey === undefined ? undefined : await readRecipient(options.recipientKey)
  const client = await createNodeKmsClient({
    cluster: await clusterSource(options),
    ...pinOf(options),
    signer,
    ...(requesterKey === undefined ? {} : { requesterKey }),
    transport: options.transport === 'libp2p' ? libp2p() : pinnedHttp(),
    limits: { totalTimeoutMs: options.timeout * 1000 },
    signal: terminal.signal,
    onNodeFailure: ({ index, name, code, detail }) => {
      if (terminal.stderrIsTty) terminal.writeErr(`node ${index} ${name}: ${code}: ${detail}\n`)
    },
  })
  return closing(client, work)
}

async function closing<T>(client: KmsClient, work: (client: KmsClient) => Promise<T>): Promise<T> {
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}
