import { bytesKey, equalBytes, type KeyId, MAX_CLUSTER_NODES, type ParticipantIndex, type SharingId } from '@tkms/dkg'
import { createRateLimit, type RateLimitOptions } from '../http/rate-limit.ts'
import type { CeremonyFrame, KeyHead } from '../net/ceremony-frame.ts'
import { MAX_KEY_HEADS } from '../net/frame-caps.ts'
import type { Clock } from '../ports.ts'
import { type ChainFetchPorts, createChainFetch } from './chain-fetch.ts'
import type { ErasedNotices } from './erased-notices.ts'
import type { KeyKeeper, KeyLife } from './keeper-types.ts'
import { adviseOnHead, headsOf } from './key-heads.ts'
import type { KeysLog } from './open-keys.ts'

/** Frames of key heads of one peer that are heard and answered: a node says its heads with every change of a key. More are dropped unread. */
const HEADS_RATE = { requestsPerSecond: 4, burst: 128, maxCallers: MAX_CLUSTER_NODES }

/** Certificates that one peer is given: a chain is fetched step by step, and whatever is open is asked for again every minute. */
const FETCH_RATE = { requestsPerSecond: 64, burst: 1024, maxCallers: MAX_CLUSTER_NODES }

/** A peer that floods is logged once in this time. */
const FLOOD_LOG_MS = 60_000

export interface KeySyncPorts extends Pick<ChainFetchPorts, 'curve'> {
  readonly keeper: Pick<KeyKeeper, 'find' | 'heard' | 'learn' | 'list' | 'orders'>
  readonly notices: ErasedNotices
  /** What is dropped here is said again with the next connection or change. */
  readonly send: (to: ParticipantIndex, frame: CeremonyFrame) => void
  readonly broadcast: (frame: CeremonyFrame) => void
  /** All claims in a peer's heads were looked into. */
  readonly onAnswered: (peer: ParticipantIndex) => void
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly log: KeysLog
}

/** Keeps the nodes' knowledge of their keys together: heads, certificates, ERASED, orders to destroy. */
export interface KeySync {
  /** Everything that concerns keys; a `certificate` concerns the ceremony that waits for it as well. */
  onFrame(from: ParticipantIndex, frame: CeremonyFrame): void
  onPeerConnected(peer: ParticipantIndex): void
  /** This node knows a later sharing, or a new key: tells everybody. */
  announce(): void
  announceErased(keyId: KeyId): void
  /** Says and asks again what may have been lost. */
  remind(): void
}

export function createKeySync(ports: KeySyncPorts): KeySync {
  const { keeper, notices, send, broadcast, log } = ports
  /** Claims of a peer that are still looked into. */
  const open = new Map<ParticipantIndex, Set<string>>()
  const nameOf = ({ keyId, sharingId }: KeyHead): string => `${bytesKey(keyId)}/${bytesKey(sharingId)}`

  const settle = (peer: ParticipantIndex, head: KeyHead): void => {
    const claims = open.get(peer)
    if (claims?.delete(nameOf(head)) === true && claims.size === 0) ports.onAnswered(peer)
  }

  const fetches = createChainFetch({
    curve: ports.curve,
    keeper,
    ask: (peer, sharingId) => send(peer, { type: 'fetchCertificate', sharingId }),
    onSettled: (peer, head, led) => {
      if (!led) log.warn({ peer, keyId: bytesKey(head.keyId), epoch: head.epoch }, 'key-head-unproven')
      settle(peer, head)
    },
  })

  const onHead = (from: ParticipantIndex, own: KeyLife | undefined, head: KeyHead): void => {
    const advice = adviseOnHead(own, head)
    if (advice === 'fetch') return fetches.start(from, head)
    if (advice === 'rival') log.error({ peer: from, keyId: bytesKey(head.keyId), epoch: head.epoch }, 'key-head-rival')
    if (advice === 'destroyed') {
      for (const { keyId, order } of keeper.orders())
        if (equalBytes(keyId, head.keyId)) send(from, { type: 'destroy', message: order })
      if (keeper.find(head.sharingId as SharingId) === undefined) return fetches.start(from, head)
    }
    settle(from, head)
  }

  const onHeads = (from: ParticipantIndex, heads: readonly KeyHead[]): void => {
    keeper.heard(from, heads)
    const claims = open.get(from) ?? new Set<string>()
    open.set(from, claims)
    for (const head of heads) claims.add(nameOf(head))
    if (claims.size === 0) ports.onAnswered(from)
    const lives = new Map(keeper.list().map((life) => [bytesKey(life.keyId), life]))
    for (const head of heads) onHead(from, lives.get(bytesKey(head.keyId)), head)
  }

  const admission = (rate: RateLimitOptions, event: string): ((from: ParticipantIndex) => boolean) => {
    const limit = createRateLimit(rate)
    /** When the log was last told of a peer. */
    const told = new Map<ParticipantIndex, number>()
    return (from) => {
      const now = ports.clock.monotonicMs()
      if (limit.retryAfterSeconds(String(from), now) === 0) return true
      if (now - (told.get(from) ?? -Infinity) >= FLOOD_LOG_MS) {
        told.set(from, now)
        log.warn({ peer: from }, event)
      }
      return false
    }
  }
  const admitsHeads = admission(HEADS_RATE, 'key-heads-too-many')
  const admitsFetch = admission(FETCH_RATE, 'certificate-requests-too-many')

  const onFetch = (from: ParticipantIndex, sharingId: Uint8Array): void => {
    if (!admitsFetch(from)) return
    const known = keeper.find(sharingId as SharingId)
    if (known === undefined) return
    const { ceremony, certificate } = known.key
    send(from, { type: 'certificate', ceremony, certificate })
  }

  const heads = (reply: boolean): readonly CeremonyFrame[] => {
    const all = headsOf(keeper.list())
    const pages = Math.max(1, Math.ceil(all.length / MAX_KEY_HEADS))
    return Array.from({ length: pages }, (_, page) => ({
      type: 'keyHeads',
      heads: all.slice(page * MAX_KEY_HEADS, (page + 1) * MAX_KEY_HEADS),
      reply: reply && page === 0,
    }))
  }
  const erased = (keyId?: KeyId): readonly CeremonyFrame[] =>
    notices.own(keyId).map((message) => ({ type: 'erased', message }))

  return {
    onFrame: (from, frame) => {
      if (frame.type === 'keyHeads') {
        if (!admitsHeads(from)) return
        if (frame.reply) for (const own of heads(false)) send(from, own)
        onHeads(from, frame.heads)
      } else if (frame.type === 'fetchCertificate') onFetch(from, frame.sharingId)
      else if (frame.type === 'erased') notices.take(frame.message)
      else if (frame.type === 'certificate')
        fetches.take(from, frame.certificate, (cause) => log.error({ cause }, 'certificate-not-kept'))
    },
    onPeerConnected: (peer) => {
      for (const frame of [...heads(true), ...erased()]) send(peer, frame)
      fetches.again(peer)
    },
    announce: () => {
      for (const frame of heads(false)) broadcast(frame)
    },
    remind: () => {
      for (const frame of heads(true)) broadcast(frame)
      for (const peer of open.keys()) fetches.again(peer)
    },
    announceErased: (keyId) => {
      for (const frame of erased(keyId)) broadcast(frame)
    },
  }
}
