import {
  encodeRepairOver,
  equalBytes,
  isForRecoverer,
  type ParticipantIndex,
  repairIdOf,
  type VerifiedKey,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import { createRunContext } from './context.ts'
import { repairError } from './errors.ts'
import { createHelpers } from './helpers.ts'
import type { RepairableKey, RepairServiceParams } from './ports.ts'
import { createRecoverers } from './recoverers.ts'
import { createRepairRecords, type RepairRecord } from './records.ts'
import type { RepairStatus } from './status.ts'

/** All repairs of one node: its own lost shares, and those it helps with (protocol 9). */
export interface RepairService {
  /** Resumes every repair under way; call before the network starts. */
  start(): Promise<void>
  stop(): Promise<void>
  onFrame(from: ParticipantIndex, message: Uint8Array): void
  onPeerConnected(peer: ParticipantIndex): void
  /** The keys of this node changed: what is not the latest sharing any more is not repaired. */
  onKeysChanged(): void
  /**
   * Begins to repair this node's share of a key; of one under way it tells the state.
   * @param generation default: the newest whose share is missing
   * @throws KmsError `unknown-key`, `not-a-member`, `share-present`
   */
  repair(keyName: string, generation?: number): Promise<RepairStatus>
  list(): readonly RepairStatus[]
  /** @param id 64 hex digits, `0x` optional, or a unique beginning of at least 8. @throws KmsError `unknown-repair` */
  find(id: string): RepairStatus
  /** Contributes to the repair of another node's share, under this request and no other of that node. @throws KmsError `unknown-repair`, `repair-over` where it does not wait for that */
  approve(id: string): Promise<RepairStatus>
  deny(id: string): Promise<RepairStatus>
  /** Asks another node instead of this one. @throws KmsError `unknown-repair`, `repair-over` */
  replace(id: string, node: number): Promise<RepairStatus>
  /** Asks again the nodes that were replaced. */
  retry(id: string): Promise<RepairStatus>
  giveUp(id: string): Promise<RepairStatus>
}

export function createRepairService(params: RepairServiceParams): RepairService {
  const { keys, network, log } = params
  const records = createRepairRecords(params.store)
  const context = createRunContext(params, records)
  const helpers = createHelpers(context)
  const recoverers = createRecoverers(context)
  const statuses = (): readonly RepairStatus[] => context.statuses((id) => recoverers.requestOf(id))

  const isCurrent = (key: VerifiedKey): boolean =>
    keys.list().some((known) => equalBytes(known.key.sharingId, key.sharingId))

  const find = (id: string): RepairStatus => {
    const wanted = id.toLowerCase().replace(/^0x/, '')
    const matches = statuses().filter((status) => wanted.length >= 8 && status.id.startsWith(`0x${wanted}`))
    const [match] = matches
    if (match === undefined || matches.length > 1)
      throw repairError('unknown-repair', 'no repair here, or more than one, has this id: repair status lists them', {
        data: { id: wanted },
      })
    return match
  }

  /** Says it, and tells how the repair stands once that was taken in. */
  const say = async (id: string, tell: (hex: string) => Promise<boolean>): Promise<RepairStatus> => {
    const { id: full } = find(id)
    if (!(await tell(full.slice(2)))) throw repairError('repair-over', 'nothing is left to decide about this repair')
    return find(full)
  }

  const resume = async ({ role, id, sharingId, snapshot }: RepairRecord): Promise<void> => {
    const known = keys.list().find(({ key }) => equalBytes(key.sharingId, sharingId))
    try {
      if (known === undefined) await records.erase(role, id)
      else if (role === 'helper') helpers.resume(known.key, snapshot)
      else recoverers.resume(known.key, snapshot)
    } catch (cause) {
      if (!isKmsError(cause)) throw cause
      log.error({ role, id, cause }, 'repair-record-refused')
    }
    snapshot.destroy()
  }

  return {
    start: async () => {
      for (const record of await records.load()) await resume(record)
    },
    stop: async () => {
      await Promise.all([helpers.halt(), recoverers.halt()])
    },
    onFrame: (from, message) => {
      const rid = repairIdOf(message)
      if (rid === undefined || helpers.deliver(rid, from, message) || recoverers.deliver(rid, from, message)) return
      // A helper of a try that is over here, or was lost with this node's memory, need not go on.
      if (isForRecoverer(message)) network.send(from, { type: 'repair', message: encodeRepairOver(rid) })
      else helpers.requested(from, message)
    },
    onPeerConnected: (peer) => {
      helpers.greet(peer)
      recoverers.greet(peer)
    },
    onKeysChanged: () => {
      helpers.expire(isCurrent)
      recoverers.expire(isCurrent)
    },
    repair: async (keyName, generation) => {
      const key = lostKey(keys.list(), keyName, generation)
      return find(recoverers.start(key))
    },
    list: statuses,
    find,
    approve: (id) => say(id, (hex) => helpers.approve(hex)),
    deny: (id) => say(id, (hex) => helpers.deny(hex)),
    replace: (id, node) =>
      say(id, (hex) => recoverers.tell(hex, { type: 'replace', helper: node as ParticipantIndex })),
    retry: (id) => say(id, (hex) => recoverers.tell(hex, { type: 'retry' })),
    giveUp: (id) => say(id, (hex) => recoverers.tell(hex, { type: 'expire' })),
  }
}

/** The sharing whose share is missing here. */
function lostKey(known: readonly RepairableKey[], keyName: string, generation: number | undefined): VerifiedKey {
  const named = known.filter(
    ({ key }) => key.keyName === keyName && (generation === undefined || key.generation === generation),
  )
  if (named.length === 0) throw repairError('unknown-key', `this node knows no key ${keyName}`, { data: { keyName } })
  const members = named.filter(({ isMember }) => isMember)
  if (members.length === 0)
    throw repairError(
      'not-a-member',
      `this node is not in the committee of ${keyName}: only a resharing gives it a share`,
    )
  const [lost] = members
    .filter(({ hasShare }) => !hasShare)
    .toSorted((left, right) => right.key.generation - left.key.generation)
  if (lost === undefined) throw repairError('share-present', `this node has its share of ${keyName}, and it holds`)
  return lost.key
}
