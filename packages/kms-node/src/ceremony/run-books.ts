import { type CeremonySpec, ceremonyId, type ParticipantIndex } from '@tkms/dkg'
import type { CeremonyFrame } from '../net/ceremony-frame.ts'
import type { CeremonyRunPorts } from './run-ports.ts'

/** What one run says of the signatures that it has collected. */
export interface RunBooks {
  readonly broadcast: (frame: CeremonyFrame) => void
  /** Everything, to one peer. */
  readonly greet: (peer: ParticipantIndex) => void
  readonly tellAbandonments: () => void
  readonly tellAuthorizations: () => void
}

export function createRunBooks(
  spec: CeremonySpec,
  peers: readonly ParticipantIndex[],
  { network, authorizations, abandonments }: Pick<CeremonyRunPorts, 'network' | 'authorizations' | 'abandonments'>,
): RunBooks {
  const ceremony = ceremonyId(spec)
  const given = (): readonly CeremonyFrame[] =>
    authorizations.of(spec).map((entry) => ({ type: 'authorization', ceremony, ...entry }))
  const refused = (): readonly CeremonyFrame[] =>
    abandonments.messages(spec).map((signed) => ({ type: 'message', ceremony, signed }))
  const broadcast = (frame: CeremonyFrame): void => {
    for (const peer of peers) network.send(peer, frame)
  }
  return {
    broadcast,
    greet: (peer) => {
      for (const frame of [...given(), ...refused()]) network.send(peer, frame)
    },
    tellAbandonments: () => refused().forEach(broadcast),
    tellAuthorizations: () => given().forEach(broadcast),
  }
}
