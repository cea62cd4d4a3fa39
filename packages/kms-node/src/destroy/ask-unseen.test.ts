import { participantIndex, type SharingId } from '@tkms/dkg'
import { expect, test } from 'vitest'
import type { CeremonyFrame } from '../net/ceremony-frame.ts'
import { askForUnseen } from './ask-unseen.ts'

const sharing = (fill: number): SharingId => new Uint8Array(32).fill(fill) as SharingId
const [three, five] = [participantIndex(3), participantIndex(5)]
/** One named by each of two members, and one that only a certificate names. */
const unseen = [
  { sharingId: sharing(1), from: three },
  { sharingId: sharing(2), from: five },
  { sharingId: sharing(3), epoch: 4 },
]

test('who named a sharing is asked for it, each or only who has just come', () => {
  const sent: { to: number; frame: CeremonyFrame }[] = []
  const network = { send: (to: number, frame: CeremonyFrame) => sent.push({ to, frame }) > 0 }
  askForUnseen(network, unseen)
  askForUnseen(network, unseen, five)
  askForUnseen(network, unseen, participantIndex(1))
  const asked = (to: number, fill: number) => ({ to, frame: { type: 'fetchCertificate', sharingId: sharing(fill) } })
  expect(sent).toEqual([asked(3, 1), asked(5, 2), asked(5, 2)])
})
