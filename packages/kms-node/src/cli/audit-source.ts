import type { AuditOwner, Cluster, ParticipantIndex, SignedAuditHead } from '@tkms/dkg'
import { bytesKey, decodeAuditHead, KmsError } from '@tkms/dkg'
import type { Command } from 'commander'
import { z } from 'zod'
import { type AdminClient, connectAdmin } from '../admin/admin-client.ts'
import type { LogPoint, StoredRecord } from '../audit/database.ts'
import { withAuditReader } from '../audit/open-audit.ts'
import type { AuditPorts } from '../audit/open-log.ts'
import { readLog } from '../audit/read-log.ts'
import { clusterPath, ownEntry, readClusterFile, readJoinedCluster } from '../cluster/cluster-file.ts'
import { loadNodeConfig } from '../config/node-config.ts'
import { isKmsError } from '../errors.ts'
import { createSigner } from '../identity/ed25519-signer.ts'
import { forgetIdentity, loadNodeIdentity } from '../identity/node-identity.ts'
import { withNodeStore } from '../open-node-store.ts'
import { systemClock } from '../system.ts'
import { dataDirOf } from './options.ts'

/** A node's own log, from the node when it runs and from its file when it does not. */
export interface AuditSource {
  readonly owner: AuditOwner
  readonly base: LogPoint
  /** How many records there are, with those before `base`. */
  readonly count: number
  /** @throws KmsError `audit-broken` where the node that does not run would have to sign what it did not write */
  readonly head: SignedAuditHead
  /** What the sealed store knows. */
  readonly anchored: SignedAuditHead
  /** Up to and without `to`. */
  records(from: number, to: number): AsyncIterable<StoredRecord>
  /** From `from` on for as long as the node runs. Only of a running node. */
  readonly follow?: (from: number, signal: AbortSignal) => AsyncIterable<StoredRecord>
  /** Removes some of the records before `end`, and says where the log begins now. Only of a running node. */
  readonly archive?: (end: LogPoint) => Promise<LogPoint>
}

/** Lends the log of the node of this data directory. @throws KmsError errors of the log, and of the store when the node does not run */
export async function withAuditSource<T>(command: Command, use: (source: AuditSource) => Promise<T>): Promise<T> {
  const dataDir = dataDirOf(command)
  const client = await connectAdmin(dataDir).catch((cause: unknown) => {
    if (isKmsError(cause) && cause.code === 'node-not-running') return undefined
    throw cause
  })
  if (client !== undefined) return use(await sourceOfNode(client, dataDir))
  return withAuditPorts(command, (ports) =>
    withAuditReader(ports, (reader) =>
      use({
        owner: ports.owner,
        base: reader.base,
        count: reader.count,
        get head() {
          return reader.head()
        },
        anchored: reader.anchored,
        records: (from, to) => readLog(reader, from, to),
      }),
    ),
  )
}

/** What opens the log of a node that does not run. @throws KmsError `store-locked` when it does, errors of the store */
export async function withAuditPorts<T>(command: Command, use: (ports: AuditPorts) => Promise<T>): Promise<T> {
  const config = await loadNodeConfig({ directory: dataDirOf(command), env: process.env })
  return withNodeStore(config, process.env, async (store) => {
    const identity = await loadNodeIdentity(store)
    try {
      const joined = await readJoinedCluster(store, config.dataDir)
      const { index, publicKey } = ownEntry(joined, identity.publicKey)
      const owner = { clusterId: joined.config.clusterId, index, publicKey }
      return await use({
        dataDir: config.dataDir,
        store,
        owner,
        sign: createSigner(identity.seed),
        clock: systemClock,
      })
    } finally {
      forgetIdentity(identity)
    }
  })
}

/** The node that a head is of, by the cluster file. @throws KmsError `unknown-node` */
export function ownerOf(cluster: Cluster, { head }: SignedAuditHead): AuditOwner {
  const { index } = decodeAuditHead(head)
  const members: readonly { readonly index: ParticipantIndex; readonly publicKey: AuditOwner['publicKey'] }[] = [
    ...cluster.nodes,
    ...cluster.config.members,
  ]
  const member = members.find((candidate) => candidate.index === index)
  if (member === undefined)
    throw new KmsError('unknown-node', `the cluster file names no node ${index}: take one that does`, {
      data: { index },
    })
  return { clusterId: cluster.config.clusterId, index, publicKey: member.publicKey }
}

const hex = z
  .string()
  .regex(/^0x(?:[0-9a-f]{2})*$/)
  .transform((text): Uint8Array => Uint8Array.from(Buffer.from(text.slice(2), 'hex')))
const signedHead = z.looseObject({ head: hex, signature: hex })
const point = z.looseObject({ count: z.int().min(0), hash: hex })
const stateSchema = z.looseObject({ head: signedHead, anchored: signedHead, base: point })
const archiveSchema = z.looseObject({ base: point })
const storedSchema = z.strictObject({ seq: z.int().min(0), record: hex, hash: hex })

async function sourceOfNode(client: AdminClient, dataDir: string): Promise<AuditSource> {
  const { head, anchored, base } = stateSchema.parse(await client.get('/audit'))
  const lines = async function* (query: string, signal: AbortSignal): AsyncGenerator<StoredRecord> {
    for await (const line of client.lines(`/audit/records?${query}`, signal)) yield storedSchema.parse(line)
  }
  return {
    owner: ownerOf(await readClusterFile(clusterPath(dataDir)), head),
    base,
    count: decodeAuditHead(head.head).count,
    head,
    anchored,
    records: (from, to) => lines(`from=${from}&to=${to}`, new AbortController().signal),
    follow: (from, signal) => lines(`from=${from}&follow=1`, signal),
    archive: async ({ count, hash }) => {
      const answer = await client.post('/audit/archive', { count, hash: `0x${bytesKey(hash)}` })
      return archiveSchema.parse(answer).base
    },
  }
}
