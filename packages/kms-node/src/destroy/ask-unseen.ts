import type { ParticipantIndex, UnseenSharing } from '@tkms/dkg'
import type { DestroyServiceParams } from './ports.ts'

/**
 * Asks who named a later sharing for its certificate, without which nobody here can say that the key is gone. What is kept of it is kept by
 * whoever hears certificates.
 * @param only this member, if it is one of them; default: each
 */
export function askForUnseen(
  network: Pick<DestroyServiceParams['network'], 'send'>,
  unseen: readonly UnseenSharing[],
  only?: ParticipantIndex,
): void {
  for (const { sharingId, from } of unseen)
    if (from !== undefined && (only === undefined || only === from))
      network.send(from, { type: 'fetchCertificate', sharingId })
}
