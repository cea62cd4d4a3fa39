import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ed25519 } from '@noble/curves/ed25519.js'
import { createEd25519Signer, type KmsClient, Secret } from '@tkms/kms-client'
import { createNodeKmsClient, libp2p } from '@tkms/kms-client/node'
import { LocalCluster } from '@tkms/examples/local-cluster'
import { median, percentile } from './statistics.ts'

export interface ClusterResult {
  readonly dkg: { readonly n5t3_ms: number }
  readonly e2e: { readonly p50_ms: number; readonly p99_ms: number; readonly per_s: number }
}

/** Five real processes on loopback, t = 3: making a key, then decrypting through them over libp2p, 1 and 8 at a time. */
export async function benchCluster(options: {
  readonly ceremonies: number
  readonly requests: number
  readonly log: (line: string) => void
}): Promise<ClusterResult> {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-bench-'))
  let cluster: LocalCluster | undefined
  try {
    cluster = await LocalCluster.create({ directory, nodes: 5, threshold: 3 })
    await cluster.startAll()
    const ceremonyMs: number[] = []
    for (let n = 0; n < options.ceremonies; n++) {
      const { tookMs } = await cluster.makeKey(`ecies/bench-${n}`)
      ceremonyMs.push(tookMs)
      options.log(`key ${n + 1} of ${options.ceremonies}: ${tookMs.toFixed(0)} ms`)
    }
    const [node] = cluster.nodes
    if (node === undefined) throw new Error('five nodes were made')
    const signer = createEd25519Signer(new Secret(ed25519.utils.randomSecretKey()))
    const kms = await createNodeKmsClient({ cluster: await cluster.clusterOf(node), signer, transport: libp2p() })
    try {
      return {
        dkg: { n5t3_ms: round(median(ceremonyMs)) },
        e2e: await measure(kms, signer.publicKeyId, options.requests),
      }
    } finally {
      await kms.close()
    }
  } finally {
    await cluster?.stopAll()
    await rm(directory, { recursive: true, force: true })
  }
}

const round = (value: number): number => Math.round(value * 100) / 100

async function measure(kms: KmsClient, owner: string, requests: number): Promise<ClusterResult['e2e']> {
  const sealed = await kms.encrypt(new Uint8Array(64).fill(7), { key: 'ecies/bench-0', owners: [owner] })
  for (let n = 0; n < 10; n++) await kms.decrypt(sealed)
  const latencyMs: number[] = []
  for (let n = 0; n < requests; n++) {
    const startMs = performance.now()
    await kms.decrypt(sealed)
    latencyMs.push(performance.now() - startMs)
  }
  const startMs = performance.now()
  for await (const outcome of kms.decryptMany(
    Array.from({ length: requests }, () => sealed),
    { concurrency: 8 },
  ))
    if ('error' in outcome) throw outcome.error
  const perSecond = (requests * 1000) / (performance.now() - startMs)
  return { p50_ms: round(median(latencyMs)), p99_ms: round(percentile(latencyMs, 0.99)), per_s: round(perSecond) }
}
