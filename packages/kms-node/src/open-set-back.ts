import {
  type ClusterId,
  type ClusterNode,
  type CommitteeConfig,
  MAX_CLUSTER_NODES,
  memberAt,
  type ParticipantIndex,
} from '@tkms/dkg'
import { plausibilityOf } from './ceremony/plausible-promise.ts'
import type { CeremonyKeys, CeremonyLog } from './ceremony/ports.ts'
import type { CeremonyService } from './ceremony/service.ts'
import { openSetBack, type SetBack } from './ceremony/set-back.ts'
import type { SlotBook } from './ceremony/slot-book.ts'
import { promiseFrames } from './ceremony/tell-promises.ts'
import type { DestroyService } from './destroy/service.ts'
import { createRateLimit } from './http/rate-limit.ts'
import { ceremonyKeys, livingCommittees } from './keys/ceremony-keys.ts'
import type { KeyKeeper } from './keys/keeper-types.ts'
import type { CeremonyListener, CeremonyNetwork } from './net/ceremony-protocol.ts'
import type { Clock, RecordStore } from './ports.ts'

/** Answers to one peer: it asks once for each connection, and once a minute while it waits for others. */
const ANSWER_RATE = { requestsPerSecond: 1, burst: 16, maxCallers: MAX_CLUSTER_NODES }

export interface OpenSetBackParams {
  readonly self: ParticipantIndex
  readonly clusterId: ClusterId
  /** In which this node may have promised anything. */
  readonly committees: () => readonly CommitteeConfig[]
  /** The committee that the cluster was made with. */
  readonly genesis: CommitteeConfig
  readonly keys: Pick<CeremonyKeys, 'list' | 'history'>
  readonly store: RecordStore
  readonly slots: Pick<SlotBook, 'takeOver'>
  readonly network: Pick<CeremonyNetwork, 'send'>
  readonly nodes: () => readonly ClusterNode[]
  readonly ceremonies: () => Pick<CeremonyService, 'promisesOf' | 'remind'>
  readonly destroys: () => Pick<DestroyService, 'signedBy' | 'take'>
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly log: CeremonyLog
}

/** What a node that was restored waits for, and what it tells others that were. */
export interface OpenedSetBack extends Pick<SetBack, 'awaited' | 'ask'> {
  /** While it waits: the names of the nodes of which some must still tell. */
  state(): { readonly awaited: readonly string[] } | undefined
  /** Hears frames about promises; everything else goes to `next`. */
  listen(next: CeremonyListener): CeremonyListener
}

/** Those that hold keys now and that this node is in; before there are any, the one that the cluster was made with. */
function ownCommittees(
  keeper: KeyKeeper,
  genesis: CommitteeConfig,
  self: ParticipantIndex,
): readonly CommitteeConfig[] {
  const own = livingCommittees(keeper).filter((committee) => memberAt(committee, self) !== undefined)
  return own.length > 0 ? own : [genesis]
}

export const knownHere = (
  keeper: KeyKeeper,
  genesis: CommitteeConfig,
  self: ParticipantIndex,
): Pick<OpenSetBackParams, 'committees' | 'genesis' | 'keys'> => ({
  committees: () => ownCommittees(keeper, genesis, self),
  genesis,
  keys: ceremonyKeys(keeper),
})

/** @throws KmsError `bad-encoding`, errors of the store */
export async function openSetBackHere(params: OpenSetBackParams): Promise<OpenedSetBack> {
  const { network, log } = params
  const limit = createRateLimit(ANSWER_RATE)
  const setBack = await openSetBack({
    ...params,
    plausibility: (spec) => plausibilityOf(spec, params.genesis, params.keys),
    takeOrder: (from, message) => params.destroys().take(from, message),
  })
  const answer = (to: ParticipantIndex): void => {
    if (limit.retryAfterSeconds(String(to), params.clock.monotonicMs()) > 0) return
    const frames = promiseFrames(params.ceremonies().promisesOf(to), params.destroys().signedBy(to))
    for (const frame of frames) network.send(to, frame)
  }
  return {
    awaited: setBack.awaited,
    ask: setBack.ask,
    state: () => {
      if (!setBack.isStanding) return undefined
      const nameOf = (index: number): string => params.nodes().find((node) => node.index === index)?.name ?? `${index}`
      return { awaited: setBack.missing.map(nameOf) }
    },
    listen: (next) => ({
      onPeerConnected: (peer) => next.onPeerConnected(peer),
      onFrame: (from, frame) => {
        if (frame.type === 'promisesRequest') answer(from)
        else if (frame.type === 'promises')
          setBack
            .take(from, frame)
            .then((hasTold) => {
              if (hasTold) params.ceremonies().remind()
            })
            .catch((cause: unknown) => log.error({ from, cause: String(cause) }, 'promises-not-kept'))
        else next.onFrame(from, frame)
      },
    }),
  }
}
