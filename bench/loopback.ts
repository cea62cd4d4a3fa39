import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ed25519 } from '@noble/curves/ed25519.js'
import { LocalCluster, type LocalClusterOptions, type LocalNode } from '@tkms/examples/local-cluster'
import { type KmsClient, type KmsClientOptions, type SealedEnvelope, Secret } from '@tkms/kms-client'
import { createNativeSigner, createNodeKmsClient, libp2p, pinnedHttp } from '@tkms/kms-client/node'

export const TRANSPORTS = ['libp2p', 'http'] as const
export type TransportName = (typeof TRANSPORTS)[number]

export const KEY_NAME = 'ecies/bench'

/** The one address of a bench asks for more than a node lets one address have. */
const LIMITS = 'limits: { requestsPerSecond: 100000, requestBurst: 100000 }\n'

/** Five real node processes on loopback with one key, t = 3, and clients of them in this process. */
export interface Loopback {
  readonly cluster: LocalCluster
  /** How long the key took to make, from the proposal to the certificate at every node. */
  readonly madeKeyMs: number
  /** The cluster file with the key's certificate. */
  readonly file: unknown
  /** A client with a requester of its own, its RSA key made already, and an envelope it may open. The caller closes it. */
  connect(transport: TransportName, options?: Partial<KmsClientOptions>): Promise<Connected>
  /** By its index in the cluster. */
  node(index: number): LocalNode
  stop(): Promise<void>
}

export interface Connected {
  readonly kms: KmsClient
  readonly sealed: SealedEnvelope
}

/** Starts the cluster and makes the key. The caller stops it. */
export async function openLoopback(options: Partial<LocalClusterOptions> = {}): Promise<Loopback> {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-bench-'))
  let cluster: LocalCluster | undefined
  const stop = async (): Promise<void> => {
    await cluster?.stopAll()
    await rm(directory, { recursive: true, force: true })
  }
  try {
    cluster = await LocalCluster.create({ nodes: 5, threshold: 3, extraConfig: LIMITS, ...options, directory })
    await cluster.startAll()
    const { tookMs } = await cluster.makeKey(KEY_NAME)
    const [first] = cluster.nodes
    if (first === undefined) throw new Error('five nodes were made')
    return wire(cluster, { madeKeyMs: tookMs, file: await cluster.clusterOf(first), stop })
  } catch (cause) {
    await stop()
    throw cause
  }
}

function wire(cluster: LocalCluster, rest: Pick<Loopback, 'madeKeyMs' | 'file' | 'stop'>): Loopback {
  return {
    ...rest,
    cluster,
    node(index) {
      const found = cluster.nodes.find((node) => node.index === index)
      if (found === undefined) throw new RangeError(`there is no node ${index}`)
      return found
    },
    async connect(transport, options = {}) {
      const signer = createNativeSigner(new Secret(ed25519.utils.randomSecretKey()))
      const kms = await createNodeKmsClient({
        cluster: rest.file,
        signer,
        transport: transport === 'libp2p' ? libp2p() : pinnedHttp(),
        ...options,
      })
      await kms.requesterKey()
      const sealed = await kms.encrypt(new Uint8Array(64).fill(7), { key: KEY_NAME, owners: [signer.publicKeyId] })
      return { kms, sealed }
    },
  }
}
