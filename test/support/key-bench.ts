import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Curve,
  type NodePublicKey,
  type ParticipantIndex,
  Secret,
  type SharingId,
  type VerifiedKey,
  type VerifyMessage,
} from '@tkms/dkg'
import { configHash } from '../../packages/dkg/src/ceremony/config.ts'
import { encodeScalar } from '../../packages/dkg/src/primitives/scalar.ts'
import type { KeyKeeper } from '../../packages/kms-node/src/keys/keeper-types.ts'
import { createKeyKeeper } from '../../packages/kms-node/src/keys/key-keeper.ts'
import type { KeyProblem } from '../../packages/kms-node/src/keys/load-keys.ts'
import { openOdometer } from '../../packages/kms-node/src/keys/odometer.ts'
import { createShareStore } from '../../packages/kms-node/src/keys/share-store.ts'
import type { Clock, Sealer } from '../../packages/kms-node/src/ports.ts'
import { createKeyTable, type KeyTable } from '../../packages/kms-node/src/serve/key-table.ts'
import { createMemoryDisk, type MemoryDisk } from '../../packages/kms-node/src/store/memory-disk.fixture.ts'
import {
  createRecordStore,
  openRecordStore,
  type OpenRecordStore,
} from '../../packages/kms-node/src/store/record-store.ts'
import { systemRng } from '../../packages/kms-node/src/system.ts'
import type { HandMade } from './hand-made.ts'
import { type Committee, fastCurve, type Identity } from './simulated-committee.ts'

export const GRACE_MS = 10 * 60_000
export const MAX_RETIRING_MS = 24 * 3600_000
const times = { graceMs: GRACE_MS, maxRetiringMs: MAX_RETIRING_MS }

/** Seals nothing: these tests are about what is written when, not about who can read it. */
const openSealer: Sealer = {
  provider: 'none',
  seal: async (plaintext) => plaintext.use((bytes) => Uint8Array.from(bytes)),
  unseal: async (sealed) => Secret.copyOf(sealed),
}

/** One life of a node's keys: from a start to a crash or stop. */
export interface KeyNode {
  readonly keeper: KeyKeeper
  readonly table: KeyTable
  readonly records: OpenRecordStore
  readonly problems: readonly KeyProblem[]
  readonly erased: readonly { readonly key: VerifiedKey; readonly successor: VerifiedKey }[]
  readonly behind: readonly { readonly key: VerifiedKey; readonly proven: boolean }[]
  /** Lets go of everything, as a dead process does. */
  end(): Promise<void>
}

export interface KeyBench {
  readonly disk: MemoryDisk
  /** Of the store. */
  readonly directory: string
  /** Real milliseconds do not pass: a test moves these. */
  readonly clock: { nowMs: number; monotonicMs: number }
  /** Both clocks. */
  pass(ms: number): void
  /** Serving at once, or only when the test opens it. */
  start(how?: 'open' | 'closed'): Promise<KeyNode>
  remove(): Promise<void>
}

/** The keys of the member `self`, over the real store on a disk in memory. */
export async function createKeyBench(
  committee: Committee,
  self: Identity,
  mayErase: (key: VerifiedKey) => boolean = () => true,
): Promise<KeyBench> {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-keys-'))
  const disk = createMemoryDisk()
  const clock = { nowMs: 1_800_000_000_000, monotonicMs: 0 }
  const clockPort: Clock = { nowMs: () => clock.nowMs, monotonicMs: () => clock.monotonicMs }
  const options = { directory, sealer: openSealer, rng: systemRng, fileSystem: disk.fileSystem }
  await (await createRecordStore(options)).close()
  const pinned = configHash(committee.spec.newConfig)
  const recall = {
    curve: fastCurve as unknown as Curve,
    verify: committee.verify as unknown as VerifyMessage,
    self: self.publicKey as unknown as NodePublicKey,
  }
  const start = async (how = 'open'): Promise<KeyNode> => {
    const records = await openRecordStore(options)
    const table = createKeyTable(recall)
    const erased: { key: VerifiedKey; successor: VerifiedKey }[] = []
    const behind: { key: VerifiedKey; proven: boolean }[] = []
    try {
      const keeper = createKeyKeeper({
        ...recall,
        pinned,
        shares: createShareStore(records),
        table,
        odometer: await openOdometer(records, clockPort),
        clock: clockPort,
        times,
        mayErase: async (key) => mayErase(key),
        isUnderWay: async () => false,
        events: {
          onErased: (key, successor) => void erased.push({ key, successor }),
          onBehind: (key, proven) => void behind.push({ key, proven }),
          onError: () => undefined,
          onChanged: () => undefined,
        },
      })
      const problems = await keeper.start()
      if (how === 'open') keeper.open()
      return { keeper, table, records, problems, erased, behind, end: () => end(keeper, table, records) }
    } catch (error) {
      await records.close()
      throw error
    }
  }
  return {
    disk,
    directory,
    clock,
    pass: (ms) => {
      clock.nowMs += ms
      clock.monotonicMs += ms
    },
    start,
    remove: () => rm(directory, { recursive: true }),
  }
}

async function end(keeper: KeyKeeper, table: KeyTable, records: OpenRecordStore): Promise<void> {
  await keeper.stop().catch(() => undefined)
  table.destroy()
  await records.close()
}

/** The sharing of a hand-made certificate, in the types of the built packages. */
export const sharingOf = ({ sharingId }: HandMade): SharingId => sharingId as unknown as SharingId

export function shareOf(made: HandMade, { index }: Identity): Secret | undefined {
  const share = made.shares.get(index)
  return share === undefined ? undefined : new Secret(encodeScalar(share))
}

/** What a ceremony of this node hands over: certificate and own share. Every other member says that it has the certificate. */
export async function install(
  node: KeyNode,
  made: HandMade,
  self: Identity,
  word: Partial<{ approvedHere: boolean; mayErase: boolean }> = {},
): Promise<VerifiedKey> {
  const share = shareOf(made, self)
  const key = await node.keeper.install(made.bytes, share, { approvedHere: false, mayErase: true, ...word })
  hear(node, made, made.members)
  return key
}

/** What these members say that they know. */
export function hear({ keeper }: KeyNode, made: HandMade, members: readonly Identity[]): void {
  const { keyId, sharingId, spec } = made
  const head = { keyId, sharingId, epoch: spec.epoch, attempt: spec.attempt }
  for (const { index } of members) keeper.heard(index as unknown as ParticipantIndex, [head])
}

/** How a request that names this sharing, or none, is answered. */
export function answerTo({ table }: KeyNode, made: HandMade, named: 'named' | 'unnamed' = 'named'): string {
  const lender = table.lender('ecies-dec')
  const found = lender.find(made.keyId as never, named === 'named' ? sharingOf(made) : undefined)
  return found.kind === 'found' ? `epoch ${found.served.key.epoch}` : found.kind
}

export const statesOf = ({ keeper }: KeyNode): readonly string[] =>
  keeper.list().flatMap(({ sharings }) => sharings.map(({ sharing, state }) => `${sharing.epoch} ${state}`))
