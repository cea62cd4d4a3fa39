import { bytesToHex } from '@noble/hashes/utils.js'
import {
  bytesKey,
  configHash,
  type Curve,
  type NodePublicKey,
  type SignMessage,
  verifyEd25519,
  type VerifiedKey,
} from '@tkms/dkg'
import type { ClusterKeeper } from '../cluster/cluster-keeper.ts'
import { isKmsError } from '../errors.ts'
import type { Clock, RecordStore } from '../ports.ts'
import { createKeyTable, type KeyTable } from '../serve/key-table.ts'
import { repairCommand } from './describe-key.ts'
import { createKeyDirectory, type KeyDirectory } from './key-directory.ts'
import { createErasedNotices, type ErasedNotices } from './erased-notices.ts'
import { byGeneration, isLaterGeneration } from './generation-order.ts'
import { createKeyKeeper } from './key-keeper.ts'
import type { KeyEvents, KeyKeeper, KeyLife } from './keeper-types.ts'
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
  /** The cluster file, whose certificates are learned, and which gets every other one. */
  readonly clusterKeeper: Pick<ClusterKeeper, 'current' | 'addCertificate'>
  /** For the commands that the log advises. */
  readonly dataDir: string
  /** This node's identity. */
  readonly self: NodePublicKey
  /** With this node's identity: what it says that it erased. */
  readonly sign: SignMessage
  readonly clock: Clock
  readonly log: KeysLog
  /** How long a share is served after its successor's certificate. */
  readonly retireGraceMs: number
  /** See `KeyKeeperParams`; default: every certificate that holds. */
  readonly mayErase?: (key: VerifiedKey) => Promise<boolean>
}

/** The keys of a node: their life, the shares in memory, what is told of them, and the cluster with their certificates. */
export interface Keys {
  readonly keeper: KeyKeeper
  readonly table: KeyTable
  /** For everybody, and with advice for this node's operator. */
  readonly directory: KeyDirectory
  readonly operatorDirectory: KeyDirectory
  readonly notices: ErasedNotices
  readonly subscribe: (listener: Partial<Pick<KeyEvents, 'onErased' | 'onChanged'>>) => void
  /** Stops the clock of retiring shares and wipes every share. */
  stop(): Promise<void>
}

/**
 * Loads and checks every key of this node. What does not hold is logged and left aside; the others are served, once `keeper.open` was called.
 * @throws errors of the store
 */
export async function openKeys(params: OpenKeysParams): Promise<Keys> {
  const { curve, store, self, clock, log } = params
  const listeners: Partial<KeyEvents>[] = []
  const table = createKeyTable({ curve, self })
  const inner = createKeyKeeper({
    curve,
    verify: verifyEd25519,
    self,
    pinned: params.clusterKeeper.current().configHash,
    shares: createShareStore(store),
    table,
    odometer: await openOdometer(store, clock),
    clock,
    times: { ...DEFAULT_RETIREMENT, graceMs: params.retireGraceMs },
    mayErase: params.mayErase ?? (async () => true),
    // A ceremony in which this node said anything has a snapshot until its outcome is in the share store.
    isUnderWay: async (ceremony) => (await store.list('ceremony')).includes(bytesKey(ceremony)),
    events: {
      onErased: (sharing, successor) => {
        log.info({ ...named(sharing), successor: hex(successor.sharingId) }, 'share-erased')
        for (const listener of listeners) listener.onErased?.(sharing, successor)
      },
      onBehind: (key, proven) => {
        const problem = proven
          ? 'this node signed a certificate that its disk does not know: the disk was restored from an older copy'
          : 'this disk is older than the key: it was restored from an older copy, or the node was away while the key was reshared'
        const remedy = `its earlier share is refused from now on; run: ${repairCommand(key.keyName, params.dataDir)}`
        log.error({ ...named(key), proven, problem, remedy }, 'disk-behind')
      },
      onError: (cause) => {
        log.error({ cause }, 'share-erasing-failed')
      },
      onChanged: (keyId) => {
        for (const listener of listeners) listener.onChanged?.(keyId)
      },
    },
  })
  const problems = await inner.start()
  for (const { sharingId, code } of problems)
    log.error({ sharingId, code, remedy: 'the record is left aside: repair the share' }, 'key-refused')
  /** One key may begin only with a committee that another one reached: until the last of them leads nowhere. */
  const learnInOrder: KeyKeeper['learn'] = async (candidates, options) => {
    const ordered = byGeneration(candidates)
    const keys: VerifiedKey[] = []
    for (;;) {
      const { keys: found, refused } = await inner.learn(ordered, options)
      keys.push(...found)
      if (found.length === 0 || refused.length === 0) return { keys, refused }
    }
  }
  /** What the file cannot take on the way is no reason to fail: the store has it. */
  const addToFile = async (key: VerifiedKey, accepted: readonly Uint8Array[]): Promise<boolean> => {
    try {
      await params.clusterKeeper.addCertificate(key.certificate, accepted)
      return true
    } catch (cause) {
      if (!isKmsError(cause)) throw cause
      log.warn({ ...named(key), code: cause.code }, 'certificate-not-in-cluster-file')
      return false
    }
  }
  /** The latest leads on from what the file has, or everything before it does. */
  const completeFile = async ({ sharings }: KeyLife): Promise<void> => {
    const keys = sharings.map(({ sharing }) => sharing.key)
    const accepted = keys.map(({ config }) => configHash(config))
    const [latest] = keys
    if (latest === undefined || (await addToFile(latest, accepted))) return
    for (const key of keys.toReversed()) await addToFile(key, accepted)
  }
  const keeper: KeyKeeper = {
    ...inner,
    install: async (certificate, share, word) => {
      const key = await inner.install(certificate, share, word)
      await addToFile(key, word.approvedHere ? [configHash(key.config)] : [])
      return key
    },
    learn: async (candidates, options) => {
      const learned = await learnInOrder(candidates, options)
      for (const key of learned.keys) await addToFile(key, options?.accepted ?? [])
      const isRenewed = (life: KeyLife): boolean => learned.keys.some((key) => isLaterGeneration(life, key))
      for (const life of inner.list().filter(isRenewed)) await completeFile(life)
      return learned
    },
  }
  const { refused } = await learnInOrder(params.clusterKeeper.current().certificates)
  for (const { code, message } of refused) log.warn({ code, message }, 'cluster-file-certificate-refused')
  const lives = keeper.list()
  for (const life of lives) await completeFile(life)
  for (const { sharing, state } of lives.flatMap(({ sharings }) => sharings.slice(0, 1)))
    if (state === 'awaiting-repair')
      log.warn({ ...named(sharing.key), remedy: repairCommand(sharing.key.keyName, params.dataDir) }, 'share-missing')
  const notices = createErasedNotices({ keeper, verify: verifyEd25519, sign: params.sign, self })
  const shown = { self, notErased: (sharing: VerifiedKey) => notices.missing(sharing) }
  log.info({ keys: lives.length, refused: problems.length }, 'self-check')
  return {
    keeper,
    table,
    notices,
    subscribe: (listener) => void listeners.push(listener),
    directory: createKeyDirectory(keeper, shown),
    operatorDirectory: createKeyDirectory(keeper, { ...shown, dataDir: params.dataDir }),
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
