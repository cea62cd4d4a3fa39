import {
  bytesKey,
  type Cluster,
  type Curve,
  decodeAuditHead,
  equalBytes,
  KmsError,
  parseCluster,
  verifyEd25519,
} from '@tkms/dkg'
import { readAnchor } from '../audit/anchor.ts'
import { openSlotBook } from '../ceremony/slot-book.ts'
import { ownEntry } from '../cluster/cluster-file.ts'
import { parseNodeConfig } from '../config/node-config.ts'
import type { NodeConfig } from '../config/types.ts'
import { parseYaml } from '../config/yaml-file.ts'
import { forgetIdentity, loadNodeIdentity } from '../identity/node-identity.ts'
import { createKeyBook } from '../keys/key-book.ts'
import { loadKeys } from '../keys/load-keys.ts'
import { createShareStore } from '../keys/share-store.ts'
import { openRulePorts } from '../policy/open-policy.ts'
import { parsePolicy } from '../policy/policy-file.ts'
import { createKeyTable } from '../serve/key-table.ts'
import type { BackedUpFile, BackupContents } from './contents.ts'
import { recordsInMemory } from './contents.ts'
import { backupError } from './errors.ts'
import { latestKeys } from './freshness.ts'
import type { OpenBackup } from './open-backup.ts'

/** One thing that has to hold before a backup is worth anything. */
export interface BackupCheck {
  readonly what: string
  readonly ok: boolean
  /** What was found, or why it does not hold. */
  readonly detail: string
}

/** The text of a file of a backup. @throws KmsError `backup-damaged` */
export function textOf({ files }: Pick<BackupContents, 'files'>, name: BackedUpFile): string | undefined {
  const bytes = files.get(name)
  if (bytes === undefined) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw backupError('backup-damaged', `${name} of the backup is no text`, { cause })
  }
}

/** The cluster that the node of the backup had joined. @throws KmsError `backup-damaged`, `bad-cluster-file` */
export function clusterOf(contents: Pick<BackupContents, 'files'>): Cluster {
  const text = textOf(contents, 'cluster.json')
  if (text === undefined) throw backupError('backup-damaged', 'the backup holds no cluster.json')
  try {
    return parseCluster(JSON.parse(text))
  } catch (cause) {
    if (cause instanceof KmsError) throw cause
    throw backupError('backup-damaged', 'cluster.json of the backup is not JSON', { cause })
  }
}

/** The configuration in the backup; undefined where its node keeps it elsewhere. @throws KmsError `bad-config-file` */
export function configOf(
  contents: Pick<BackupContents, 'files'>,
  source: { readonly directory: string; readonly env: Readonly<Record<string, string | undefined>> },
): NodeConfig | undefined {
  const text = textOf(contents, 'node.yaml')
  return text === undefined ? undefined : parseNodeConfig(parseYaml(text, 'node.yaml of the backup'), source)
}

/**
 * Proves in memory that a node could start from this backup: nothing is written, nobody is asked. It makes the checks that the node itself
 * makes at its start (protocol 5): every signature of the certificates, and share * G == Y_j.
 */
export async function checkBackup({ header, contents }: OpenBackup, curve: Curve): Promise<readonly BackupCheck[]> {
  const store = recordsInMemory(contents)
  const checks: BackupCheck[] = []
  const check = async (what: string, run: () => Promise<string> | string): Promise<void> => {
    try {
      checks.push({ what, ok: true, detail: await run() })
    } catch (cause) {
      if (!(cause instanceof KmsError)) throw cause
      checks.push({ what, ok: false, detail: `${cause.code}: ${cause.message}` })
    }
  }
  const unsound = (message: string): Error => backupError('backup-unsound', message)

  await check('identity', async () => {
    const identity = await loadNodeIdentity(store)
    forgetIdentity(identity)
    if (!equalBytes(identity.publicKey, header.publicKey)) throw unsound('it is not the one that signed the backup')
    return `ed25519:${bytesKey(identity.publicKey)}`
  })
  await check('roster', async () => {
    const cluster = clusterOf(contents)
    const pin = await store.get('pin', 'cluster')
    const pinned = pin?.use((bytes) => Uint8Array.from(bytes))
    const hashes = [header.configHash, cluster.configHash]
    if (pinned === undefined || hashes.some((hash) => !equalBytes(hash, pinned)))
      throw unsound('cluster.json is not the cluster that this node joined')
    if (!equalBytes(cluster.config.clusterId, header.clusterId)) throw unsound('the backup names another cluster')
    const { name, index } = ownEntry(cluster, header.publicKey)
    if (name !== header.nodeName) throw unsound(`cluster.json calls this node ${name}, the backup ${header.nodeName}`)
    return `${name} is node ${index} of cluster 0x${bytesKey(header.clusterId)}`
  })
  await check('certificates', () => {
    const keys = latestKeys(curve, clusterOf(contents))
    return `${keys.length} keys follow from the genesis committee`
  })
  await checkShares({ header, contents }, curve, { check, unsound })
  await check('promises', async () => {
    const { earlier } = await openSlotBook(store)
    return `${earlier.length} ceremonies that this node approved or gave up`
  })
  await check('audit', async () => {
    const anchor = await readAnchor(store)
    return anchor === undefined ? 'no log yet' : `anchored at record ${decodeAuditHead(anchor.head).count}`
  })
  await check('configuration', async () => {
    const config = configOf(contents, { directory: '/', env: {} })
    const policy = textOf(contents, 'policy.yaml')
    if (config === undefined) return 'no node.yaml in it: restore needs --config'
    if (policy === undefined) return 'no policy.yaml in it'
    const ports = await openRulePorts(config)
    parsePolicy(parseYaml(policy, 'policy.yaml'), { file: 'policy.yaml', profile: config.profile, ports })
    return `node.yaml (${config.profile} profile) and policy.yaml are right`
  })
  return checks
}

/** The node's own self-check of its keys, then that what the header names is there, and nothing else. */
async function checkShares(
  { header, contents }: OpenBackup,
  curve: Curve,
  {
    check,
    unsound,
  }: {
    readonly check: (what: string, run: () => Promise<string> | string) => Promise<void>
    readonly unsound: (message: string) => Error
  },
): Promise<void> {
  const { publicKey: self } = header
  const table = createKeyTable({ curve, self })
  try {
    const ports = { curve, verify: verifyEd25519, self, book: createKeyBook(), table }
    const stored = await createShareStore(recordsInMemory(contents)).load()
    const problems = loadKeys(ports, stored)
    for (const { keyName, generation, epoch, sharingId } of header.keys)
      await check(`share ${keyName} generation ${generation} epoch ${epoch}`, () => {
        const id = bytesKey(sharingId)
        const problem = problems.find((found) => found.sharingId === id)
        if (problem !== undefined) throw unsound(`it does not fit its certificate (${problem.code})`)
        const held = table.held(sharingId)
        if (held === undefined) throw unsound('it is not in the backup')
        return `share * G is the committed point of node ${held.index}`
      })
    const named = new Set(header.keys.map(({ sharingId }) => bytesKey(sharingId)))
    await check('other records', () => {
      const others = contents.records.filter(({ kind, id }) => kind === 'share' && !named.has(id))
      if (others.length > 0) throw unsound(`${others.length} shares that the header does not name`)
      const rest = problems.filter(({ sharingId }) => !named.has(sharingId))
      if (rest.length > 0) throw unsound(`${rest.length} records do not hold: ${rest[0]?.code ?? ''}`)
      return `${stored.sharings.length} certificates, ${stored.destroyed.length} destroyed keys`
    })
  } finally {
    table.destroy()
  }
}

/** @throws KmsError `backup-unsound` with every check that does not hold */
export function requireSound(checks: readonly BackupCheck[]): void {
  const failed = checks.filter(({ ok }) => !ok).map(({ what, detail }) => `${what}: ${detail}`)
  if (failed.length > 0)
    throw backupError(
      'backup-unsound',
      `this backup would not make a node:\n${failed.map((line) => `  ${line}`).join('\n')}`,
      {
        data: { problems: failed },
      },
    )
}
