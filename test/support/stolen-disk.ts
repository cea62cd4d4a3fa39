import { cp, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Secret } from '@tkms/dkg'
import { type NodeConfig, openSealer, systemRng, withNodeStore } from '@tkms/kms-node'
import { keyringAad, parseKeyringFile } from '../../packages/kms-node/src/store/keyring-file.ts'
import type { KnownSecret, Trace } from './leak-search.ts'
import { unsealStore } from './unsealed-store.ts'

/** Where a thief has set up a machine: its sealer settings, and the passphrase it may know. */
export interface Thief {
  readonly name: string
  readonly sealer: NodeConfig['sealer']
  readonly env?: Readonly<Record<string, string>>
}

/** Puts secrets of ours into a node's store. @returns them with every other secret record in it */
export async function plantSecrets(config: NodeConfig): Promise<readonly KnownSecret[]> {
  const kinds = ['share', 'ceremony', 'repair', 'audit'] as const
  const planted = kinds.map((kind) => ({ name: `planted ${kind}`, kind, bytes: systemRng.bytes(32) }))
  await withNodeStore(config, {}, async (store) => {
    for (const { kind, bytes } of planted) await store.put(kind, 'planted', Secret.copyOf(bytes))
  })
  const own = (await unsealStore(config)).filter(({ kind }) => kind === 'identity' || kind === 'node-seed')
  return [...planted, ...own.map(({ kind, bytes }) => ({ name: kind, bytes }))]
}

/** The whole data directory, copied with a backup's or a thief's eyes. @returns where it is, and what every file in it holds */
export async function copyDisk(
  config: NodeConfig,
  to: string,
): Promise<{ readonly config: NodeConfig; readonly files: readonly Trace[] }> {
  await cp(config.dataDir, to, { recursive: true })
  const paths = (await readdir(to, { recursive: true })).map((name) => join(to, name))
  const kinds = await Promise.all(paths.map((path) => stat(path)))
  const files = paths.filter((_, at) => kinds[at]?.isFile())
  const traces = await Promise.all(files.map(async (name) => ({ name, bytes: await readFile(name) })))
  return { config: { ...config, dataDir: to }, files: traces }
}

/** What a thief gets: codes of the refusals, and the names of files that opened. */
export interface Loot {
  readonly opened: readonly string[]
  readonly refusals: ReadonlySet<string>
}

/** Opens the store as a node would, then every file by itself, wherever in it something sealed may begin. */
export async function rob({ config, files }: Awaited<ReturnType<typeof copyDisk>>, thief: Thief): Promise<Loot> {
  const opened: string[] = []
  const refusals = new Set<string>()
  const attempt = async (name: string, open: () => Promise<unknown>): Promise<void> => {
    try {
      await open()
      opened.push(name)
    } catch (cause) {
      refusals.add((cause as { code?: string }).code ?? String(cause))
    }
  }
  const stolen = { ...config, profile: 'development', sealer: thief.sealer } as const
  await attempt('the store', () => withNodeStore(stolen, { ...thief.env }, (store) => store.list('identity')))
  const sealer = await openSealer({ config: stolen, env: { ...thief.env } })
  try {
    for (const { name, bytes } of files)
      for (const { sealed, aad } of sealedIn(bytes)) await attempt(name, () => sealer.unseal(sealed, aad))
  } finally {
    sealer.destroy()
  }
  return { opened: [...new Set(opened)], refusals }
}

interface SealedBytes {
  readonly sealed: Uint8Array
  readonly aad: Uint8Array
}

/** A keyring's sealed part as the store reads it, and any file as it is. */
function sealedIn(bytes: Uint8Array): readonly SealedBytes[] {
  const whole = { sealed: bytes, aad: new Uint8Array(0) }
  try {
    const { storeId, count, sealed } = parseKeyringFile(bytes)
    return [whole, { sealed, aad: keyringAad(storeId, count) }]
  } catch {
    return [whole]
  }
}
