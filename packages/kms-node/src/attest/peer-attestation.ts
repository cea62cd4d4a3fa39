import type { Connection, Libp2p } from '@libp2p/interface'
import { type CommitteeConfig, equalBytes, type ParticipantIndex } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { AttestProtocol } from '../net/attest-protocol.ts'
import { netError } from '../net/errors.ts'
import type { PeerGate } from '../net/peer-gate.ts'
import { createRequestRate } from '../net/request-rate.ts'
import type { Roster, RosterPeer } from '../net/roster.ts'
import type { Clock, Rng } from '../ports.ts'
import type { CertificatesHash, ChannelVerifier } from './channel-proof.ts'
import { keptByFloor } from './floor.ts'
import type { ProofMemory } from './proof-memory.ts'
import {
  acceptedStanding,
  type CertificatesCompared,
  isDated,
  phaseOf,
  refusedStanding,
  type Standing,
} from './peer-standing.ts'
import { statusOf } from './refusal-status.ts'
import { type AttestationVerdict, refusedQuote, type RefusalReason } from './verdict.ts'

const NONCE_BYTES = 32
/** How often it is looked for proofs to renew. */
const RENEW_CHECK_MS = 30_000
const DAY_MS = 86_400_000
/** Proofs asked of one peer, all its connections together. */
const PROOFS_PER_PEER = { max: 16, windowMs: 10_000 }

/** Refusals that say nothing of what runs there: what was proven before is remembered. */
const MAY_PASS: ReadonlySet<RefusalReason> = new Set<RefusalReason>(['missing', 'collateral', 'expired'])

/** For the log and the metrics. */
export interface PeerAttestationEvents {
  onAccepted(
    peer: RosterPeer,
    verdict: Extract<AttestationVerdict, { kind: 'accepted' }>,
    certificates: CertificatesCompared,
  ): void
  onRefused(peer: RosterPeer, reason: RefusalReason, detail: string): void
  /** A proof ends within `warnDays`; told once a day. */
  onExpiring(peer: RosterPeer, daysLeft: number): void
  /** An expired proof counts on, since fewer than t + f members were left without it; told once a day. */
  onKeptByFloor(peer: RosterPeer): void
}

export interface PeerAttestationParams {
  readonly host: Libp2p
  readonly roster: Roster
  readonly self: ParticipantIndex
  readonly protocol: Pick<AttestProtocol, 'challenge'>
  readonly verifier: ChannelVerifier
  /** Of this node's own certificates, as they are now. A peer that goes by others is told of, and refused for nothing. */
  readonly certificatesHash: CertificatesHash
  /** Of who proved itself here before, by identity. */
  readonly proofs: ProofMemory
  /** The committees whose t + f expired proofs may not take away. */
  readonly committees: () => readonly CommitteeConfig[]
  /** False: the operator has decided that an expired proof ends there and then, whoever is left. */
  readonly keepFloor: boolean
  readonly warnDays: number
  readonly clock: Clock
  readonly rng: Rng
  readonly events: PeerAttestationEvents
}

/** What is thought of a peer. */
export interface PeerAttestationState {
  readonly peer: string
  readonly state: 'proven' | 'expired' | 'refused' | 'unproven'
  /** With `expired`: it counts all the same, since too few members were left without it. */
  readonly kept?: true
  readonly reason?: RefusalReason
  readonly measurement?: string
  readonly tcbStatus?: string
  /** When it was proven. */
  readonly certificates?: CertificatesCompared
  /** Unix milliseconds. */
  readonly expiresMs?: number
}

/** Lets a connection of a roster peer carry something only while a quote for this very connection stands. */
export interface PeerAttestation extends PeerGate {
  states(): readonly PeerAttestationState[]
  /** Renews what is due, warns of what ends, and cuts what has ended. It is done by itself every 30 s. */
  renew(): Promise<void>
  stop(): void
}

/** Call it before the host is started: it asks of every connection from its first moment on. */
export function createPeerAttestation(params: PeerAttestationParams): PeerAttestation {
  const { host, roster, protocol, verifier, proofs, clock, rng, events } = params
  // By the connection itself: what was verified and what is used are one object.
  const standings = new WeakMap<Connection, Standing>()
  const underWay = new WeakMap<Connection, Promise<void>>()
  const used = new WeakSet<Connection>()
  const toldMs = new Map<string, number>()
  const mayAsk = createRequestRate(PROOFS_PER_PEER)

  const judge = async (peer: RosterPeer, ...given: Parameters<Parameters<AttestProtocol['challenge']>[2]>) => {
    const [reply, challenge, signal] = given
    const verdict = await verifier.verify(peer, reply, challenge, { signal })
    const good = proofs.get(peer.publicKey)
    const certificates = equalBytes(reply.certificatesHash, params.certificatesHash()) ? 'same' : 'other'
    const told = { verdict, certificates, status: statusOf(verdict) } as const
    if (!isDated(verdict) || good === undefined) return { ...told, dateOnly: false }
    const then = await verifier.verify(peer, reply, challenge, { signal, asOfMs: good.acceptedMs })
    return { ...told, dateOnly: then.kind === 'accepted' }
  }

  const prove = async (connection: Connection, peer: RosterPeer): Promise<void> => {
    const { verdict, certificates, dateOnly } = await ask(connection, peer)
    if (verdict.kind === 'accepted') {
      proofs.keep(peer.publicKey, { acceptedMs: clock.nowMs(), expiresMs: verdict.expiresMs })
      standings.set(connection, acceptedStanding(verdict, certificates, clock.nowMs()))
      events.onAccepted(peer, verdict, certificates)
      return
    }
    const { reason } = verdict
    if (!MAY_PASS.has(reason)) proofs.forget(peer.publicKey)
    standings.set(connection, refusedStanding(standings.get(connection), { reason, dateOnly, nowMs: clock.nowMs() }))
    events.onRefused(peer, verdict.reason, verdict.detail)
    cutIfEnded(connection)
  }

  const ask = async (
    connection: Connection,
    peer: RosterPeer,
  ): Promise<{
    readonly verdict: AttestationVerdict
    readonly certificates: CertificatesCompared
    readonly dateOnly: boolean
  }> => {
    const unasked = (detail: string) =>
      ({ verdict: refusedQuote('missing', detail), certificates: 'other', dateOnly: false }) as const
    if (!mayAsk(peer.peerId.toString())) return unasked('the peer connects too often to be asked')
    try {
      return await protocol.challenge(connection, rng.bytes(NONCE_BYTES), (...given) => judge(peer, ...given))
    } catch (cause) {
      const detail = isKmsError(cause) ? cause.code : cause instanceof Error ? cause.name : 'no answer'
      return unasked(detail)
    }
  }

  const proofOf = (connection: Connection, peer: RosterPeer): Promise<void> => {
    const known = underWay.get(connection)
    if (known !== undefined) return known
    const proof = prove(connection, peer).finally(() => underWay.delete(connection))
    underWay.set(connection, proof)
    return proof
  }

  const phase = (connection: Connection): ReturnType<typeof phaseOf> =>
    phaseOf(standings.get(connection), clock.nowMs())

  /** The best of a peer's connections. */
  const phaseOfPeer = (peer: RosterPeer): ReturnType<typeof phaseOf> => {
    const phases = host.getConnections(peer.peerId).map(phase)
    return (['proven', 'expired', 'refused'] as const).find((wanted) => phases.includes(wanted)) ?? 'unproven'
  }

  const isKept = (peer: RosterPeer): boolean => {
    if (!params.keepFloor) return false
    const inPhase = (wanted: string): number[] =>
      roster.peers.filter((other) => phaseOfPeer(other) === wanted).map(({ index }) => index)
    const members = { proven: new Set([params.self, ...inPhase('proven')]), expired: new Set(inPhase('expired')) }
    return params.committees().some((committee) => keptByFloor(committee, members).includes(peer.index))
  }

  const counts = (connection: Connection): boolean => {
    const peer = roster.byPeerId(connection.remotePeer)
    if (peer === undefined) return true
    const now = phase(connection)
    return now === 'proven' || (now === 'expired' && isKept(peer))
  }

  const cutIfEnded = (connection: Connection): void => {
    if (used.has(connection) && !counts(connection))
      connection.abort(netError('not-attested', 'the proof of the peer has ended'))
  }

  /** Whether it is a day since this was told. */
  const isNews = (peer: RosterPeer, what: string): boolean => {
    const key = `${what} ${peer.peerId.toString()}`
    const nowMs = clock.nowMs()
    if (nowMs - (toldMs.get(key) ?? Number.NEGATIVE_INFINITY) < DAY_MS) return false
    toldMs.set(key, nowMs)
    return true
  }

  const look = async (connection: Connection): Promise<void> => {
    const peer = roster.byPeerId(connection.remotePeer)
    const standing = standings.get(connection)
    if (peer === undefined || standing === undefined) return
    const nowMs = clock.nowMs()
    if (standing.kind === 'refused') {
      if (standing.retryAtMs <= nowMs) await proofOf(connection, peer)
      return
    }
    if (standing.renewAtMs <= nowMs) await proofOf(connection, peer)
    const shown = standing.kind === 'accepted' ? standing.expiresMs : nowMs
    const daysLeft = ((proofs.get(peer.publicKey)?.expiresMs ?? shown) - nowMs) / DAY_MS
    if (daysLeft < params.warnDays && isNews(peer, 'expiring')) events.onExpiring(peer, Math.max(0, daysLeft))
    if (phase(connection) === 'expired' && counts(connection) && isNews(peer, 'kept')) events.onKeptByFloor(peer)
    cutIfEnded(connection)
  }

  const onOpen = ({ detail: connection }: { readonly detail: Connection }): void => {
    const peer = roster.byPeerId(connection.remotePeer)
    if (peer !== undefined) void proofOf(connection, peer)
  }
  const renew = async (): Promise<void> => {
    await Promise.all(host.getConnections().map(look))
  }
  host.addEventListener('connection:open', onOpen)
  const timer = setInterval(() => void renew(), RENEW_CHECK_MS)
  timer.unref()

  return {
    isAdmitted: (connection) => {
      const is = counts(connection)
      // Whoever asks is about to use it.
      if (is) used.add(connection)
      return is
    },
    admitted: async (connection, signal) => {
      const peer = roster.byPeerId(connection.remotePeer)
      if (peer === undefined) return
      const standing = standings.get(connection)
      const isRefused = standing?.kind === 'refused' && clock.nowMs() < standing.retryAtMs
      if (!counts(connection) && !isRefused) await until(proofOf(connection, peer), signal)
      if (!counts(connection))
        throw netError('not-attested', 'the peer has not proven what runs there', {
          data: { peer: peer.index, ...(standing?.kind === 'refused' && { reason: standing.reason }) },
        })
      used.add(connection)
    },
    states: () =>
      roster.peers.map((peer) => {
        const state = phaseOfPeer(peer)
        const held = host.getConnections(peer.peerId).map((connection) => standings.get(connection))
        const accepted = held.find((standing) => standing?.kind === 'accepted')
        const refused = held.find((standing) => standing?.kind === 'refused')
        return {
          peer: peer.name,
          state,
          ...(state === 'expired' && isKept(peer) && { kept: true }),
          ...(state === 'refused' && refused && { reason: refused.reason }),
          ...(accepted && accepted.shown),
        }
      }),
    renew,
    stop: () => {
      clearInterval(timer)
      host.removeEventListener('connection:open', onOpen)
    },
  }
}

function until(proof: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onAbort = (): void => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  void proof.then(resolve, reject)
  return promise.finally(() => signal.removeEventListener('abort', onAbort))
}
