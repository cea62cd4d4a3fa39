import { attempt } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { onceFor, readOnce } from './memo.ts'
import {
  type DealPayload,
  decodeDeal,
  decodeVote,
  decodeVouch,
  type VotePayload,
  type VouchPayload,
} from './messages.ts'
import type { Parties } from './parties.ts'
import type { SignedMessage } from './signed-message.ts'

/** Payloads that later steps look at again, decoded once per message; undefined where the decoder refuses them. */

export const readDeal: (
  ports: { readonly curve: Curve },
  parties: Parties,
  message: SignedMessage,
) => DealPayload | undefined = readOnce(({ curve }: { readonly curve: Curve }, parties, message) =>
  attempt(() => decodeDeal(curve, parties, message.payload)),
)

const readVouchOnce = readOnce((_: undefined, parties, message) => attempt(() => decodeVouch(parties, message.payload)))

export const readVouch = (parties: Parties, message: SignedMessage): VouchPayload | undefined =>
  readVouchOnce(undefined, parties, message)

export const readVote: (message: SignedMessage) => VotePayload | undefined = onceFor(({ payload }) =>
  attempt(() => decodeVote(payload)),
)
