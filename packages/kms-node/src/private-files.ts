import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { KmsError } from '@tkms/dkg'
import { NODE_CONFIG_FILE } from './config/node-config.ts'
import type { NodeConfig } from './config/types.ts'

const OTHERS_READ = 0o004
const OTHERS_WRITE = 0o002
const OTHERS = 0o007

interface Rule {
  readonly path: string
  /** Permission bits that no other user may have. */
  readonly forbidden: number
}

/** A group may be let in, as where a volume belongs to a group; the sealed store, which lets nobody in, checks itself. */
function rulesFor({ dataDir, http, policyFile, sealer }: NodeConfig): readonly Rule[] {
  const hidden = [NODE_CONFIG_FILE, 'audit.db', 'audit.db-wal', 'audit.db-shm'].map((name) => join(dataDir, name))
  const keys = [http.tlsKeyFile, sealer.provider === 'kms-file' ? sealer.keyFile : undefined]
  const fixed = [policyFile, join(dataDir, 'cluster.json')]
  return [
    { path: dataDir, forbidden: OTHERS },
    ...[...hidden, ...keys].flatMap((path) =>
      path === undefined ? [] : [{ path, forbidden: OTHERS_READ | OTHERS_WRITE }],
    ),
    ...fixed.map((path) => ({ path, forbidden: OTHERS_WRITE })),
  ]
}

/**
 * That no other user of the machine reads what a node keeps to itself, or changes what it obeys: its data directory, node.yaml, audit log
 * and key files, and the writing of policy and cluster file. What is not there passes.
 * @param onWarning told of each in the development profile
 * @throws KmsError `unsafe-permissions` in production, with every such file
 */
export async function requirePrivateFiles(config: NodeConfig, onWarning: (warning: string) => void): Promise<void> {
  const found = await Promise.all(rulesFor(config).map(async (rule) => ((await isOpen(rule)) ? [rule.path] : [])))
  const files = found.flat()
  if (files.length === 0) return
  const warning = `every user of this machine can read or change ${files.join(', ')}: run chmod o-rwx on them`
  if (config.profile === 'production') throw new KmsError('unsafe-permissions', warning, { data: { files } })
  onWarning(warning)
}

async function isOpen({ path, forbidden }: Rule): Promise<boolean> {
  const facts = await stat(path).catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new KmsError('unsafe-permissions', `${path} cannot be looked at`, { cause, data: { files: [path] } })
  })
  return facts !== undefined && (facts.mode & forbidden) !== 0
}
