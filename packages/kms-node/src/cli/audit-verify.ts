import { existsSync } from 'node:fs'
import { type Cluster, decodeAuditHead, KmsError, type SignedAuditHead } from '@tkms/dkg'
import type { Command } from 'commander'
import { describeHead } from '../audit/describe-record.ts'
import { openExports, readHeadFile } from '../audit/export-file.ts'
import { type ClaimedHead, type VerifiedLog, verifyLog } from '../audit/verify-log.ts'
import { clusterPath, readClusterFile } from '../cluster/cluster-file.ts'
import { ownerOf, withAuditSource } from './audit-source.ts'
import { dataDirOf, outputOf } from './options.ts'

/** "records 0 to 41". */
export const span = (from: number, end: number): string =>
  from === end ? `no record from ${end} on` : `records ${from} to ${end - 1}`

interface VerifyOptions {
  readonly head?: string
  readonly cluster?: string
}

/** `audit verify`: this node's log, or exports of one that follow each other. */
export async function verify(files: readonly string[], options: VerifyOptions, command: Command): Promise<void> {
  const kept: readonly ClaimedHead[] =
    options.head === undefined
      ? []
      : [{ what: `the head in ${options.head}`, signed: await readHeadFile(options.head) }]
  const report = (verified: VerifiedLog, head: SignedAuditHead): void => {
    const { index } = decodeAuditHead(head.head)
    const { from, count: end } = verified
    outputOf(command).result(
      { whole: true, node: index, from, count: end, head: describeHead(head), comparedWith: kept.length },
      [
        `the log of node ${index} is whole: ${span(from, end)}, each following from the one before, up to its signed head`,
        ...kept.map(({ what }) => `  it contains what ${what} is of`),
        ...(from > 0 ? [`  what came before record ${from} is not here`] : []),
      ],
    )
  }
  if (files.length > 0) {
    const exported = await openExports(files)
    const cluster = await clusterFor(options, command)
    const { newest } = exported
    const owner = ownerOf(cluster, newest)
    const log = { owner, base: exported.base, heads: [...exported.heads, ...kept] }
    return report(await verifyLog(log, exported.records()), newest)
  }
  await withAuditSource(command, async (source) => {
    const heads = [
      { what: 'its signed head', signed: source.head },
      { what: 'the anchor in the sealed store', signed: source.anchored },
      ...kept,
    ]
    const owner =
      options.cluster === undefined ? source.owner : ownerOf(await readClusterFile(options.cluster), source.head)
    const records = source.records(source.base.count, decodeAuditHead(source.head.head).count)
    report(await verifyLog({ owner, base: source.base, heads }, records), source.head)
  })
}

/** Whose keys count: `--cluster`, or what the node of this directory joined. @throws KmsError `bad-cluster-file` */
async function clusterFor({ cluster }: VerifyOptions, command: Command): Promise<Cluster> {
  if (cluster !== undefined) return readClusterFile(cluster)
  const joined = clusterPath(dataDirOf(command))
  if (existsSync(joined)) return readClusterFile(joined)
  throw new KmsError('bad-cluster-file', `whose log is it? Name the cluster file: --cluster FILE (no ${joined} here)`, {
    data: { path: joined },
  })
}
