import { bytesKey, ceremonyId, type ParticipantIndex } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { CeremonyFrame } from '../net/ceremony-frame.ts'
import type { CeremonyNetwork } from '../net/ceremony-protocol.ts'
import type { CeremonyKeys, CeremonyLog } from './ports.ts'
import type { PendingProposal, Proposals } from './proposals.ts'
import type { CeremonyRegistry } from './registry.ts'
import type { RoutedFrame, WaitingRoom } from './waiting-room.ts'

type ProposalFrame = Extract<CeremonyFrame, { type: 'proposal' }>

/** Proposals that continue a sharing which is not known here yet, of one member. */
const MAX_DEFERRED_PER_PEER = 16

export interface IntakeParams {
  readonly registry: CeremonyRegistry
  readonly proposals: Proposals
  readonly waitingRoom: WaitingRoom
  readonly network: CeremonyNetwork
  readonly keys: CeremonyKeys
  readonly log: CeremonyLog
  readonly onProposed: (proposal: PendingProposal) => void
  /** A certificate from a peer brought a newer sharing. */
  readonly onLearned: () => void
}

/** What the other nodes say about ceremonies, on its way to the ceremony it belongs to. */
export interface Intake {
  onFrame(from: ParticipantIndex, frame: CeremonyFrame): void
  /** Looks again at proposals that came too early. */
  retryDeferred(): void
}

export function createIntake(params: IntakeParams): Intake {
  const { registry, proposals, waitingRoom, network, keys, log } = params
  const deferred = new Map<ParticipantIndex, ProposalFrame[]>()

  const onProposal = (from: ParticipantIndex, frame: ProposalFrame): void => {
    try {
      const received = proposals.receive(from, frame)
      if (received === undefined) return
      const id = bytesKey(ceremonyId(received.spec))
      const run = registry.get(id)
      if (run !== undefined) {
        run.sawProposal(from)
        return proposals.remove(id)
      }
      params.onProposed(received)
    } catch (cause) {
      if (!isKmsError(cause)) throw cause
      log.warn({ from, code: cause.code, problem: cause.message }, 'proposal-refused')
      if (cause.code === 'unknown-sharing') defer(from, frame, cause.data['sharingId'])
    }
  }

  /** The proposer knows a certificate that this node lacks. */
  const defer = (from: ParticipantIndex, frame: ProposalFrame, sharingId: unknown): void => {
    const frames = deferred.get(from) ?? []
    deferred.set(from, [...frames, frame].slice(-MAX_DEFERRED_PER_PEER))
    if (typeof sharingId !== 'string') return
    network.send(from, {
      type: 'fetchCertificate',
      sharingId: Uint8Array.from(Buffer.from(sharingId.slice(2), 'hex')),
    })
  }

  const retryDeferred = (): void => {
    const waiting = [...deferred]
    deferred.clear()
    for (const [from, frames] of waiting) for (const frame of frames) onProposal(from, frame)
  }

  const learn = (certificate: Uint8Array): void => {
    keys
      .learn(certificate)
      .then((key) => {
        if (key !== undefined) params.onLearned()
      })
      .catch((cause: unknown) => log.error({ cause: String(cause) }, 'certificate-not-kept'))
  }

  /** What a quorum abandoned is no proposal any more. */
  const takeAbandonment = ({ ceremony, signed }: Extract<RoutedFrame, { type: 'message' }>): void => {
    const id = bytesKey(ceremony)
    const spec = proposals.get(id)?.spec ?? registry.forgotten(id)
    if (spec === undefined) return
    registry
      .takeAbandonment(spec, signed)
      .then((decided) => {
        if (decided) proposals.remove(id)
      })
      .catch((cause: unknown) => log.error({ cause: String(cause) }, 'abandonment-not-kept'))
  }

  const onRouted = (from: ParticipantIndex, frame: RoutedFrame): void => {
    const run = registry.get(bytesKey(frame.ceremony))
    if (run !== undefined) return run.deliver(from, frame)
    if (frame.type === 'certificate') return learn(frame.certificate)
    if (frame.type === 'message') takeAbandonment(frame)
    if (frame.type !== 'statusRequest') return waitingRoom.add(from, frame)
    // A ceremony that is not approved here: what waits for it is all this node knows of the asker (protocol 5).
    const { ceremony } = frame
    network.send(from, { type: 'status', ceremony, messages: waitingRoom.heldFrom(ceremony, from) })
  }

  return {
    onFrame: (from, frame) => {
      if (frame.type === 'proposal') onProposal(from, frame)
      else if ('ceremony' in frame) onRouted(from, frame)
    },
    retryDeferred,
  }
}
