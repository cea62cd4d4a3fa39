import { attempt, bytesKey, type Curve, type ParticipantIndex, readCertificateFacts, type SharingId } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { KeyHead } from '../net/ceremony-frame.ts'
import { certificateNames } from './certificate-names.ts'
import type { KeyKeeper } from './keeper-types.ts'

/** Claims of one peer that are looked into at once. */
const MAX_FETCHES = 512
/** Certificates, and their bytes, that one peer may have us hold on the way back to one that is known. */
const MAX_STEPS = 1024
const MAX_BYTES = 8 * 1024 * 1024

export interface ChainFetchPorts {
  readonly curve: Curve
  readonly keeper: Pick<KeyKeeper, 'find' | 'learn'>
  readonly ask: (peer: ParticipantIndex, sharingId: Uint8Array) => void
  /** The fetch is over; `led` tells whether the claimed sharing is known now. */
  readonly onSettled: (peer: ParticipantIndex, head: KeyHead, led: boolean) => void
}

interface Fetch {
  readonly head: KeyHead
  /** What is asked for now. */
  readonly asked: SharingId
  /** Latest first. */
  readonly certificates: readonly Uint8Array[]
}

/**
 * Fetches a claimed sharing from the peer that claims it, and what lies before it, backwards until the chain leads to it from what is known
 * here. The same committee's later epochs need no steps between, so most fetches are one certificate.
 */
export interface ChainFetch {
  /** The oldest of too many claims of one peer is given up. */
  start(peer: ParticipantIndex, head: KeyHead): void
  /** A new connection: what was asked over an old one, or before there was any, is asked again. */
  again(peer: ParticipantIndex): void
  /** A certificate from a peer. False when this peer was not asked for it. `onError`: the store failed. */
  take(peer: ParticipantIndex, certificate: Uint8Array, onError: (cause: unknown) => void): boolean
}

export function createChainFetch({ curve, keeper, ask, onSettled }: ChainFetchPorts): ChainFetch {
  /** By peer, then by the sharing that is asked for; the oldest first. */
  const fetches = new Map<ParticipantIndex, Map<string, Fetch>>()
  const ofPeer = (peer: ParticipantIndex): Map<string, Fetch> => {
    const known = fetches.get(peer) ?? new Map<string, Fetch>()
    fetches.set(peer, known)
    return known
  }

  const settle = (peer: ParticipantIndex, head: KeyHead): void =>
    onSettled(peer, head, keeper.find(head.sharingId as SharingId) !== undefined)

  const askFor = (peer: ParticipantIndex, fetch: Fetch): void => {
    ofPeer(peer).set(bytesKey(fetch.asked), fetch)
    ask(peer, fetch.asked)
  }

  /** The sharing before the one of this certificate, where it is worth asking for. */
  const before = (certificate: Uint8Array): SharingId | undefined => {
    try {
      const { kind, prevOutcome } = readCertificateFacts(curve, certificate).key
      if (kind !== 'reshare' || prevOutcome === undefined || keeper.find(prevOutcome) !== undefined) return undefined
      return prevOutcome
    } catch (error) {
      if (!isKmsError(error)) throw error
      return undefined
    }
  }

  const advance = async (peer: ParticipantIndex, fetch: Fetch, certificate: Uint8Array): Promise<void> => {
    const certificates = [...fetch.certificates, certificate]
    await keeper.learn(certificates)
    const known = keeper.find(fetch.head.sharingId as SharingId) !== undefined
    const previous = known ? undefined : before(certificate)
    const bytes = certificates.reduce((sum, { length }) => sum + length, 0)
    if (previous === undefined || certificates.length >= MAX_STEPS || bytes > MAX_BYTES) settle(peer, fetch.head)
    else askFor(peer, { ...fetch, asked: previous, certificates })
  }

  return {
    start: (peer, head) => {
      const open = ofPeer(peer)
      const [oldest] = open
      if (oldest !== undefined && open.size >= MAX_FETCHES) {
        open.delete(oldest[0])
        settle(peer, oldest[1].head)
      }
      askFor(peer, { head, asked: head.sharingId as SharingId, certificates: [] })
    },
    again: (peer) => {
      for (const { asked } of ofPeer(peer).values()) ask(peer, asked)
    },
    take: (peer, certificate, onError) => {
      const names = attempt(() => certificateNames(certificate))
      const name = names && bytesKey(names.sharingId)
      const fetch = name === undefined ? undefined : ofPeer(peer).get(name)
      if (name === undefined || fetch === undefined) return false
      ofPeer(peer).delete(name)
      advance(peer, fetch, certificate).catch(onError)
      return true
    },
  }
}
