import { attempt, equalBytes, list, u16, u32 } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { taggedHash } from '../primitives/hash.ts'
import { decodeScalar } from '../primitives/scalar.ts'
import { Secret } from '../primitives/secret.ts'
import type { CeremonyId, ParticipantIndex, PointBytes } from '../primitives/types.ts'
import { type Commitment, commit, verifyShare } from '../sharing/feldman.ts'
import type { Session } from './join.ts'
import { onceOnCurve } from './memo.ts'
import type { DealPayload } from './messages.ts'
import { mayDeal, type Parties } from './parties.ts'
import { readDeal } from './readings.ts'
import { type DealingSecrets, dealtShare, openPolynomial } from './seeds.ts'
import type { SignedMessage } from './signed-message.ts'

const encodePoints = (points: readonly PointBytes[]): Uint8Array => list(points, (point) => point)

/** c_i = TH("deal-commit", ceremony || u32 v || u16 i || nonce_i || list(A_i) || R_i) (protocol R0). 32 bytes. */
export function dealCommitment(input: {
  readonly ceremony: CeremonyId
  readonly view: number
  readonly dealer: ParticipantIndex
  readonly nonce: Uint8Array
  readonly commitment: Commitment
  readonly ephemeral: PointBytes
}): Uint8Array {
  const { ceremony, view, dealer, nonce, commitment, ephemeral } = input
  return taggedHash('deal-commit', ceremony, u32(view), u16(dealer), nonce, encodePoints(commitment), ephemeral)
}

type Possession = 'pop-a' | 'pop-r'

/** TH("pop-a" | "pop-r", sid || u16 i || list(A_i) || R_i) (protocol R2). 32 bytes. */
function possessionHash(
  kind: Possession,
  sid: Uint8Array,
  dealer: ParticipantIndex,
  commitment: Commitment,
  ephemeral: PointBytes,
): Uint8Array {
  return taggedHash(kind, sid, u16(dealer), encodePoints(commitment), ephemeral)
}

/** pad_ij = TH("deal-pad", sid || u16 i || u16 j || R_i || EK_j || Z_ij) (protocol R2). 32 bytes. */
function padOf(input: {
  readonly sid: Uint8Array
  readonly dealer: ParticipantIndex
  readonly receiver: ParticipantIndex
  readonly ephemeral: PointBytes
  readonly receiverKey: PointBytes
  readonly shared: PointBytes
}): Uint8Array {
  const { sid, dealer, receiver, ephemeral, receiverKey, shared } = input
  return taggedHash('deal-pad', sid, u16(dealer), u16(receiver), ephemeral, receiverKey, shared)
}

/** In place: `pad` becomes pad XOR bytes. */
function mask(pad: Uint8Array, bytes: Uint8Array): Uint8Array {
  for (let at = 0; at < pad.length; at++) pad[at] = (pad[at] ?? 0) ^ (bytes[at] ?? 0)
  return pad
}

/** A dealer's public points, needed for c_i in JOIN and again in DEAL. */
export interface DealtPoints {
  readonly commitment: Commitment
  readonly ephemeral: PointBytes
}

export const dealtPoints: (curve: Curve, secrets: DealingSecrets) => DealtPoints = onceOnCurve((curve, secrets) => ({
  commitment: commit(curve, openPolynomial(secrets)),
  ephemeral: curve.mulBaseSecret(secrets.ephemeral),
}))

/** popA of a RESHARE: the constant term is the old share, which D5 checks instead. */
const NO_POSSESSION = new Uint8Array(64)

/** R2: the DEAL of this dealer for every receiver of the session. */
export function createDeal(
  curve: Curve,
  parties: Parties,
  session: Session,
  dealing: { readonly dealer: ParticipantIndex; readonly secrets: DealingSecrets },
): DealPayload {
  const { dealer, secrets } = dealing
  const { sid } = session
  const polynomial = openPolynomial(secrets)
  const { commitment, ephemeral } = dealtPoints(curve, secrets)
  const [constant] = secrets.coefficients
  if (constant === undefined) throw new RangeError('a polynomial has a constant term')
  const shares = [...session.receivers].map(([receiver, receiverKey]) => {
    const shared = curve.mulSecret(receiverKey, secrets.ephemeral)
    const pad = padOf({ sid, dealer, receiver, ephemeral, receiverKey, shared })
    const share = dealtShare(polynomial, receiver)
    const ciphertext = share.use((bytes) => mask(pad, bytes))
    share.destroy()
    return { receiver, ciphertext }
  })
  const prove = (kind: Possession, key: Secret, aux: Secret): Uint8Array =>
    aux.use((bytes) => curve.signPossession(key, possessionHash(kind, sid, dealer, commitment, ephemeral), bytes))
  return {
    sid,
    nonce: secrets.nonce.use((bytes) => Uint8Array.from(bytes)),
    commitment,
    ephemeral,
    popA: parties.spec.kind === 'keygen' ? prove('pop-a', constant, secrets.auxA) : NO_POSSESSION,
    popR: prove('pop-r', secrets.ephemeral, secrets.auxR),
    shares,
  }
}

/** The public checks D1..D5, by step id: the first one that fails is proof of the dealer's guilt, since DEAL is signed. */
export type DealCheck =
  | { readonly ok: true; readonly deal: DealPayload }
  | { readonly ok: false; readonly failed: 'D1' | 'D2' | 'D3' | 'D4' | 'D5' }

/** D1..D5 of protocol R2 on a DEAL whose signature holds and whose sid is this session's. Public data only. */
export function checkDeal(curve: Curve, parties: Parties, session: Session, message: SignedMessage): DealCheck {
  const dealer = message.header.from
  const deal = readDeal({ curve }, parties, message)
  if (deal === undefined) return { ok: false, failed: 'D2' }
  const expected = session.dealers.get(dealer)
  if (expected === undefined || !equalBytes(deal.sid, session.sid)) return { ok: false, failed: 'D1' }
  const { commitment, ephemeral, nonce, shares } = deal
  const receivers = [...session.receivers.keys()]
  if (shares.length !== receivers.length || shares.some((share, at) => share.receiver !== receivers[at]))
    return { ok: false, failed: 'D2' }
  const opened = dealCommitment({ ...message.header, dealer, nonce, commitment, ephemeral })
  if (!equalBytes(opened, expected)) return { ok: false, failed: 'D3' }
  if (!isProven(curve, parties, deal, dealer)) return { ok: false, failed: 'D4' }
  const [constant] = commitment
  if (constant === undefined || !mayDeal(curve, parties, dealer, constant)) return { ok: false, failed: 'D5' }
  return { ok: true, deal }
}

/** D4: popA under x(A_i[0]), in a RESHARE 64 zero bytes instead, and popR under x(R_i). */
function isProven(curve: Curve, { spec }: Parties, deal: DealPayload, dealer: ParticipantIndex): boolean {
  const { sid, commitment, ephemeral, popA, popR } = deal
  const [constant] = commitment
  const hashOf = (kind: Possession): Uint8Array => possessionHash(kind, sid, dealer, commitment, ephemeral)
  const owned =
    spec.kind === 'keygen'
      ? constant !== undefined && curve.verifyPossession(constant, hashOf('pop-a'), popA)
      : equalBytes(popA, NO_POSSESSION)
  return owned && curve.verifyPossession(ephemeral, hashOf('pop-r'), popR)
}

export interface SharedPoint {
  readonly sid: Uint8Array
  readonly dealer: ParticipantIndex
  readonly receiver: ParticipantIndex
  readonly receiverKey: PointBytes
  /** Z_ij. */
  readonly shared: PointBytes
}

/** D6: decrypts E_ij with Z_ij and checks the share against the commitment; undefined when it is bad. */
export function openDealtShare(curve: Curve, deal: DealPayload, input: SharedPoint): Secret | undefined {
  const encrypted = deal.shares.find((share) => share.receiver === input.receiver)
  if (encrypted === undefined) return undefined
  const share = new Secret(mask(padOf({ ...input, ephemeral: deal.ephemeral }), encrypted.ciphertext))
  const inRange = share.use((bytes) => attempt(() => decodeScalar(bytes))) !== undefined
  if (inRange && verifyShare(curve, deal.commitment, input.receiver, share)) return share
  share.destroy()
  return undefined
}
