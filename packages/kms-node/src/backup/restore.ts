import { lstat, mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { bytesKey, type Cluster, type Curve, decodeAuditHead, equalBytes } from '@tkms/dkg'
import { readAnchor } from '../audit/anchor.ts'
import { markSetBack } from '../ceremony/set-back.ts'
import { COMMAND } from '../command.ts'
import { NODE_CONFIG_FILE, parseNodeConfig } from '../config/node-config.ts'
import type { NodeConfig } from '../config/types.ts'
import { parseYaml, readConfigText } from '../config/yaml-file.ts'
import { replaceFile } from '../files.ts'
import { openSealer } from '../seal/open-sealer.ts'
import { nodeFileSystem } from '../store/file-system.ts'
import { createRecordStore } from '../store/record-store.ts'
import { storeDirectory, systemRng } from '../system.ts'
import type { AgeIdentities } from './age-file.ts'
import type { BackedUpKey } from './backup-file.ts'
import { checkBackup, clusterOf, configOf, requireSound } from './check-backup.ts'
import { type BackupRecord, forgetContents, recordsInMemory } from './contents.ts'
import { backupError } from './errors.ts'
import { askPeers, type PeerAnswer } from './ask-peers.ts'
import { type OutdatedShare, outdatedShares, requireNewest } from './freshness.ts'
import { openBackup, type OpenBackup } from './open-backup.ts'
import { removeEarlier, removeUnfinished, unfinishedPath } from './unfinished.ts'

export interface RestoreInput {
  /** The backup. */
  readonly file: string
  readonly identities: AgeIdentities
  /** Must not exist; its parent must. */
  readonly directory: string
  /** node.yaml of the restored node instead of the one in the backup. */
  readonly configFile?: string | undefined
  /** What another node or an operator knows of the cluster: its certificates count as those of a peer. */
  readonly cluster?: Cluster | undefined
  /** Leave the shares out that the cluster has left behind, instead of refusing. */
  readonly withoutOutdated: boolean
  readonly env: Record<string, string | undefined>
  readonly curve: Curve
  readonly onWarning: (warning: string) => void
}

export interface Restored {
  readonly node: string
  /** Unix milliseconds. */
  readonly createdAtMs: number
  readonly keys: readonly BackedUpKey[]
  /** Left out: to be repaired. */
  readonly outdated: readonly OutdatedShare[]
  readonly peers: readonly PeerAnswer[]
  /** How many records the log had when the backup was made: without audit.db they are lost. */
  readonly auditRecords: number
}

/**
 * Makes a data directory from a backup: sealed anew, by the sealer that node.yaml names. Nothing is left behind when it fails.
 * @throws KmsError `directory-exists`, `backup-damaged`, `backup-version`, `wrong-identity`, `backup-unsound`, `backup-elsewhere`,
 * `backup-outdated`, `unsafe-permissions`, `bad-config-file`, errors of the sealer and the store
 */
export async function restoreBackup(input: RestoreInput): Promise<Restored> {
  const directory = resolve(input.directory)
  await requireAbsent(directory)
  const backup = await openBackup(input.file, input.identities)
  try {
    requireSound(await checkBackup(backup, input.curve))
    const config = await configFor(input, backup, directory)
    requireUnread(input.identities, config.profile, input.onWarning)
    requireSameCluster(input, backup)
    await requireNewest(input.file, backup.header)
    const { outdated, peers } = await compareWithCluster(input, backup)
    if (outdated.length > 0 && !input.withoutOutdated) throw refuseOutdated(backup, outdated)
    const isLeftOut = ({ kind, id }: BackupRecord): boolean =>
      kind === 'share' && outdated.some(({ key }) => bytesKey(key.sharingId) === id)
    const records = backup.contents.records.filter((record) => !isLeftOut(record))
    await writeDirectory({ ...input, directory, config, records }, backup)
    const anchor = await readAnchor(recordsInMemory({ records }))
    const { nodeName, createdAtMs, keys } = backup.header
    return {
      node: nodeName,
      createdAtMs,
      keys: keys.filter((key) => !outdated.some((left) => left.key === key)),
      outdated,
      peers,
      auditRecords: anchor === undefined ? 0 : decodeAuditHead(anchor.head).count,
    }
  } finally {
    forgetContents(backup.contents)
  }
}

/** In production an identity file that every user can read opens nothing, as a passphrase file does not. @throws KmsError `unsafe-permissions` */
export function requireUnread(
  { warning }: Pick<AgeIdentities, 'warning'>,
  profile: NodeConfig['profile'],
  onWarning: (warning: string) => void,
): void {
  if (warning === undefined) return
  if (profile === 'production') throw backupError('unsafe-permissions', warning)
  onWarning(warning)
}

async function requireAbsent(directory: string): Promise<void> {
  const found = await lstat(directory).catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw backupError('cannot-write', `${directory} cannot be looked at`, { cause, data: { directory } })
  })
  if (found !== undefined)
    throw backupError('directory-exists', `${directory} exists: restore into a data directory that does not`, {
      data: { directory },
    })
}

async function configFor(
  input: RestoreInput,
  { header, contents }: OpenBackup,
  directory: string,
): Promise<NodeConfig> {
  const { configFile, env } = input
  const source = { directory, env }
  const config =
    configFile === undefined
      ? configOf(contents, source)
      : parseNodeConfig(parseYaml(await readConfigText(configFile), configFile), source)
  if (config === undefined)
    throw backupError('backup-elsewhere', 'the backup holds no node.yaml: give the one of this node with --config FILE')
  if (config.name !== header.nodeName)
    throw backupError('backup-elsewhere', `the backup is of ${header.nodeName}, node.yaml of ${config.name}`)
  if (config.dataDir !== directory)
    throw backupError(
      'backup-elsewhere',
      `node.yaml keeps the store in ${config.dataDir}: take dataDir out of a copy of it, and give that with --config`,
    )
  return config
}

/** @throws KmsError `backup-elsewhere` */
function requireSameCluster({ cluster: given }: Pick<RestoreInput, 'cluster'>, { header }: OpenBackup): void {
  if (given !== undefined && !equalBytes(given.configHash, header.configHash))
    throw backupError(
      'backup-elsewhere',
      `the backup is of the cluster with config hash 0x${bytesKey(header.configHash)}, --cluster is of another one`,
    )
}

async function compareWithCluster(
  { cluster: given, curve }: RestoreInput,
  { header, contents }: OpenBackup,
): Promise<{ readonly outdated: readonly OutdatedShare[]; readonly peers: readonly PeerAnswer[] }> {
  const own = clusterOf(contents)
  const book = given ?? own
  const { files, peers } = await askPeers({ ...own, nodes: book.nodes }, header)
  const known = [own, ...(given === undefined ? [] : [given]), ...files]
  return { outdated: outdatedShares(curve, header.keys, known), peers }
}

function refuseOutdated({ header }: OpenBackup, outdated: readonly OutdatedShare[]): Error {
  const names = outdated.map(
    ({ key, latestEpoch }) => `${key.keyName} (epoch ${key.epoch}, the cluster is at ${latestEpoch})`,
  )
  return backupError(
    'backup-outdated',
    `this backup is older than the cluster: ${names.join(', ')}. Take a newer one. Without one, restore with --without-outdated, which leaves ` +
      `these shares out; then start the node and ${COMMAND} repair KEY, or let the others reshare without ${header.nodeName}`,
    {
      data: {
        keys: outdated.map(({ key }) => key.keyName),
        epochs: outdated.map(({ key }) => key.epoch),
        latestEpochs: outdated.map(({ latestEpoch }) => latestEpoch),
      },
    },
  )
}

/** Beside its place, then moved into it whole. */
async function writeDirectory(
  input: RestoreInput & { readonly config: NodeConfig; readonly records: readonly BackupRecord[] },
  { contents }: OpenBackup,
): Promise<void> {
  const { directory, config, records, env, onWarning } = input
  const temporary = unfinishedPath(directory)
  const sealer = await openSealer({ config: movedTo(temporary, config), env, onWarning })
  try {
    await sealer.check()
    await removeEarlier(directory, sealer, onWarning)
    await mkdir(temporary, { mode: 0o700 })
    const store = await createRecordStore({ directory: storeDirectory(temporary), sealer, rng: systemRng })
    try {
      for (const { kind, id, value } of records) await store.put(kind, id, value)
      await markSetBack(store)
    } finally {
      await store.close()
    }
    await writeFile(join(temporary, '.gitignore'), '*\n', { mode: 0o600 })
    for (const [name, bytes] of contents.files) {
      if (name === 'node.yaml' && input.configFile !== undefined) continue
      if (name === 'policy.yaml') await writePolicy({ directory, temporary, config, onWarning }, bytes)
      else await replaceFile(join(temporary, name), bytes, PUBLIC.has(name) ? 0o644 : 0o600)
    }
    if (input.configFile !== undefined)
      await replaceFile(join(temporary, NODE_CONFIG_FILE), await readConfigText(input.configFile))
    await requireAbsent(directory)
    await rename(temporary, directory)
    await nodeFileSystem.syncDirectory(dirname(directory))
  } catch (cause) {
    await removeUnfinished(temporary, sealer).catch((left: unknown) =>
      onWarning(`${temporary} is left behind, and the next restore removes it: ${String(left)}`),
    )
    throw cause
  } finally {
    sealer.destroy()
  }
}

/** A key file that the data directory itself holds is made with it. */
function movedTo(temporary: string, config: NodeConfig): NodeConfig {
  const { sealer, dataDir } = config
  if (sealer.provider !== 'kms-file') return config
  const inside = relative(dataDir, sealer.keyFile)
  if (inside.startsWith('..')) return config
  return { ...config, sealer: { ...sealer, keyFile: join(temporary, inside) } }
}

const PUBLIC: ReadonlySet<string> = new Set(['cluster.json', 'card.json', 'tls.crt'])

/** A policy that lies elsewhere belongs to whoever put it there. */
async function writePolicy(
  at: {
    readonly directory: string
    readonly temporary: string
    readonly config: NodeConfig
    readonly onWarning: (warning: string) => void
  },
  bytes: Uint8Array,
): Promise<void> {
  const inside = relative(at.directory, at.config.policyFile)
  const isInside = !inside.startsWith('..')
  if (!isInside)
    at.onWarning(`the policy is in policy.yaml of the restored directory, and node.yaml names ${at.config.policyFile}`)
  const target = join(at.temporary, isInside ? inside : 'policy.yaml')
  await mkdir(dirname(target), { recursive: true, mode: 0o700 })
  await replaceFile(target, bytes)
}
