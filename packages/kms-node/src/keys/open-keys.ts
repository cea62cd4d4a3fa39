import { bytesToHex } from '@noble/hashes/utils.js'
import { type Cluster, type Curve, type NodePublicKey, verifyEd25519, type VerifiedKey } from '@tkms/dkg'
import type { Clock, RecordStore } from '../ports.ts'
import { createKeyTable, type KeyTable } from '../serve/key-table.ts'
import { createClusterCertificates } from './cluster-certificates.ts'
import { createKeyDirectory, type KeyDirectory } from './key-directory.ts'
import { createKeyKeeper } from './key-keeper.ts'
import type { KeyEvents, KeyKeeper } from './keeper-types.ts'
import { DEFAULT_RETIREMENT } from './life.ts'
import { openOdometer } from './odometer.ts'
import { createShareStore } from './share-store.ts'

export interface KeysLog {
  info(fields: Readonly<Record<string, unknown>>, event: string): void
  warn(fields: Readonly<Record<string, unknown>>, event: string): void
  error(fields: Readonly<Record<string, unknown>>, event: string): void
}

export interface OpenKeysParams {
  readonly curve: Curve
  readonly store: RecordStore
  /** As this node joined it, with the certificates of its cluster file. */
  readonly cluster: Cluster
  /** Of the cluster file. */
  readonly clusterPath: string
  /** This node's identity. */
  readonly self: NodePublicKey
  readonly clock: Clock
  readonly log: KeysLog
  /** How long a share is served after its successor's certificate. */
  readonly retireGraceMs: number
  /** See `KeyKeeperParams`; default: every certificate that holds. */
  readonly mayErase?: (key: VerifiedKey) => Promise<boolean>
  readonly events?: Partial<KeyEvents>
}

/** The keys of a node: their life, the shares in memory, what is told of them, and the cluster with their certificates. */
export interface Keys {
  readonly keeper: KeyKeeper
  readonly table: KeyTable
  readonly directory: KeyDirectory
  /** The cluster with every certificate this node knows. */
  readonly cluster: () => Cluster
  /** Stops the clock of retiring shares and wipes every share. */
  stop(): Promise<void>
}

/**
 * Loads and checks every key of this node. What does not hold is logged and left aside; the others are served, once `keeper.open` was called.
 * @throws errors of the store
 */
export async function openKeys(params: OpenKeysParams): Promise<Keys> {
  const { curve, store, self, clock, log, events = {} } = params
  const table = createKeyTable({ curve, self })
  const inner = createKeyKeeper({
    curve,
    verify: verifyEd25519,
    self,
    pinned: params.cluster.configHash,
    shares: createShareStore(store),
    table,
    odometer: await openOdometer(store, clock),
    clock,
    times: { ...DEFAULT_RETIREMENT, graceMs: params.retireGraceMs },
    mayErase: params.mayErase ?? (async () => true),
    events: {
      onErased: (sharing, successor) => {
        log.info({ ...named(sharing), successor: hex(successor.sharingId) }, 'share-erased')
        events.onErased?.(sharing, successor)
      },
      onError: (cause) => {
        log.error({ cause }, 'share-erasing-failed')
        events.onError?.(cause)
      },
      onChanged: (keyId) => events.onChanged?.(keyId),
    },
  })
  const problems = await inner.start()
  for (const { sharingId, code } of problems)
    log.error({ sharingId, code, remedy: 'the record is left aside: repair the share' }, 'key-refused')
  const certificates = createClusterCertificates({ path: params.clusterPath, cluster: params.cluster })
  const keeper: KeyKeeper = {
    ...inner,
    install: async (certificate, share, word) => {
      const key = await inner.install(certificate, share, word)
      await certificates.add([key.certificate])
      return key
    },
    learn: async (candidates, options) => {
      const learned = await inner.learn(candidates, options)
      await certificates.add(learned.keys.map(({ certificate }) => certificate))
      return learned
    },
  }
  const { refused } = await keeper.learn(params.cluster.certificates)
  for (const { code, message } of refused) log.warn({ code, message }, 'cluster-file-certificate-refused')
  const lives = keeper.list()
  await certificates.add(lives.flatMap(({ sharings }) => sharings.map(({ sharing }) => sharing.key.certificate)))
  for (const { sharing, state } of lives.flatMap(({ sharings }) => sharings.slice(0, 1)))
    if (state === 'awaiting-repair') log.warn(named(sharing.key), 'share-missing')
  log.info({ keys: lives.length, refused: problems.length }, 'self-check')
  return {
    keeper,
    table,
    directory: createKeyDirectory(keeper, self),
    cluster: certificates.cluster,
    stop: async () => {
      await inner.stop()
      table.destroy()
    },
  }
}

const hex = (bytes: Uint8Array): string => `0x${bytesToHex(bytes)}`

const named = ({ keyName, generation, epoch, sharingId }: VerifiedKey): Readonly<Record<string, unknown>> => ({
  keyName,
  generation,
  epoch,
  sharingId: hex(sharingId),
})
