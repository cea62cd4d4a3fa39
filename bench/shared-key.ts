import { randomBytes } from 'node:crypto'
import {
  createPartial,
  type Curve,
  encodeScalar,
  encodeSingle,
  type EnvelopeV2,
  type KeyId,
  nobleCurve,
  ORDER,
  pdecContext,
  participantIndex,
  type ParticipantIndex,
  type PointBytes,
  sealEnvelopeV2,
  Secret,
  type SharingId,
} from '@tkms/dkg'

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length))

/** What one holder of a share has, and what its answer to one request is. */
export interface Holder {
  readonly index: ParticipantIndex
  readonly share: Secret
  /** Y_j, as every client computes it from the certificate. */
  readonly verificationShare: PointBytes
  readonly ctx: Uint8Array
  /** What the box of its answer holds: 99 bytes. */
  readonly content: Uint8Array
}

/** A key shared by t of n as key generation would, the holders of t of its shares, and an envelope that they have answered for. */
export interface SharedKey {
  readonly t: number
  readonly sharingId: SharingId
  readonly config: { readonly members: readonly { readonly index: ParticipantIndex }[] }
  /** t of them, spread over all indices. */
  readonly holders: readonly Holder[]
  readonly plaintext: Uint8Array
  readonly envelope: EnvelopeV2
}

/**
 * Made by whoever knows the key, here alone: ceremonies of 64 take minutes, and what comes after them costs the same.
 * @param n 3..64. @param t 2..n-1
 */
export function createSharedKey({ n, t }: { readonly n: number; readonly t: number }): SharedKey {
  const coefficients = Array.from({ length: t }, randomScalar)
  const members = Array.from({ length: n }, (_, at) => ({ index: participantIndex(at + 1) }))
  const groupKey = nobleCurve.mulBaseSecret(secretOf(coefficients[0] ?? 0n))
  const [keyId, sharingId, requestId, requestHash] = [
    random(32) as KeyId,
    random(32) as SharingId,
    random(32),
    random(32),
  ]
  const plaintext = random(64)
  const envelope = sealEnvelopeV2(nobleCurve, {
    key: { keyId, groupKey },
    plaintext,
    chainId: 0,
    handle: random(32),
    policy: new Uint8Array(0),
    k: secretOf(randomScalar()),
    aux: random(32),
  })
  const holders = Array.from({ length: t }, (_, at): Holder => {
    const index = participantIndex(1 + Math.floor((at * (n - 1)) / (t - 1)))
    const share = secretOf(coefficients.reduceRight((sum, factor) => (sum * BigInt(index) + factor) % ORDER, 0n))
    const ctx = pdecContext({ purpose: 'ecies-dec', keyId, epoch: 0, sharingId, index, requestId, requestHash })
    const partial = createPartial(nobleCurve, { share, K: envelope.header.K, ctx, aux: random(32) })
    const content = encodeSingle({ index, ...partial })
    return { index, share, verificationShare: nobleCurve.mulBaseSecret(share), ctx, content }
  })
  return { t, sharingId, config: { members }, holders, plaintext, envelope }
}

/** The same points in the form that this backend reads fastest, as after they were received and decoded. */
export function received(
  curve: Curve,
  { envelope, holders }: SharedKey,
): { K: PointBytes; shares: readonly PointBytes[] } {
  const shares = holders.map(({ verificationShare }) => verificationShare)
  for (const point of [envelope.header.K, ...shares])
    if (!curve.isPoint(point)) throw new Error('a point of the case is none')
  return { K: envelope.header.K, shares }
}

const randomScalar = (): bigint => BigInt(`0x${randomBytes(32).toString('hex')}`) % ORDER
const secretOf = (scalar: bigint): Secret => new Secret(encodeScalar(scalar))
