import { u16 } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { taggedHash } from '../primitives/hash.ts'
import type { ParticipantIndex, PointBytes } from '../primitives/types.ts'
import { proveDleq, verifyDleq } from '../proofs/dleq.ts'
import { openDealtShare } from './dealing.ts'
import type { ComplainPayload, DealPayload } from './messages.ts'
import type { ReceiverSecrets } from './seeds.ts'

interface Accusation {
  readonly sid: Uint8Array
  readonly dealer: ParticipantIndex
  readonly receiver: ParticipantIndex
  readonly dealHash: Uint8Array
}

/** m = TH("complaint", sid || u16 i || u16 j || dealHash) (protocol R3). 32 bytes. */
const complaintHash = ({ sid, dealer, receiver, dealHash }: Accusation): Uint8Array =>
  taggedHash('complaint', sid, u16(dealer), u16(receiver), dealHash)

/** R3: opens the dealing of `accusation.dealer` by Z_ij = ek_j * R_i, with a BIP-374 proof under EK_j. */
export function createComplaint(
  curve: Curve,
  accusation: Accusation,
  ephemeral: PointBytes,
  receiver: ReceiverSecrets,
): ComplainPayload {
  const message = complaintHash(accusation)
  const aux = receiver.aux.use((bytes) => taggedHash('complaint-aux', bytes, message))
  const { C, proof } = proveDleq(curve, { secret: receiver.key, B: ephemeral, base: curve.generator, message, aux })
  return { sid: accusation.sid, dealer: accusation.dealer, dealHash: accusation.dealHash, shared: C, proof }
}

/**
 * Who is guilty (protocol R3): proof bad or share good -> the complainer, share bad -> the dealer. Public data only.
 * @param deal the dealing with `complaint.dealHash`, which passed D1..D5
 * @param receiverKey EK of the complainer in this session
 */
export function judgeComplaint(
  curve: Curve,
  deal: DealPayload,
  complaint: ComplainPayload,
  complainer: { readonly index: ParticipantIndex; readonly receiverKey: PointBytes },
): 'dealer' | 'complainer' {
  const { sid, dealer, dealHash, shared, proof } = complaint
  const receiver = complainer.index
  const { receiverKey } = complainer
  const statement = {
    A: receiverKey,
    B: deal.ephemeral,
    C: shared,
    base: curve.generator,
    message: complaintHash({ sid, dealer, receiver, dealHash }),
  }
  if (!verifyDleq(curve, statement, proof)) return 'complainer'
  const share = openDealtShare(curve, deal, { sid, dealer, receiver, receiverKey, shared })
  if (share === undefined) return 'dealer'
  share.destroy()
  return 'complainer'
}
