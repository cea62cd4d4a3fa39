import {
  type Curve,
  createPartial,
  headerMessage,
  type PartialDecryption,
  POINT_BYTES,
  type PointBytes,
  type ProvenHeader,
  Secret,
  verifyDleq,
} from '@tkms/dkg'

/** Randomness that goes into the proof of one item, in bytes. */
export const AUX_BYTES = 32
const PROOF_BYTES = 64
const MESSAGE_BYTES = 32
const HEADER_WORK_BYTES = 2 * POINT_BYTES + MESSAGE_BYTES + PROOF_BYTES
const PARTIAL_BYTES = POINT_BYTES + PROOF_BYTES

/** Header proofs to check: K || Kbar || m || pi of each, 162 bytes. Done: one byte each, 1 where it holds. */
export interface HeaderWork {
  readonly kind: 'headers'
  readonly headers: Uint8Array
}

/** Points to multiply by a share, with proofs. Done: D || proof of each, 97 bytes. */
export interface PartialWork {
  readonly kind: 'partials'
  /** 32 bytes of memory that the threads have in common: wherever it is wiped, it is gone for all of them. */
  readonly share: Uint8Array
  /** Y_j, 33 bytes. */
  readonly verificationShare: Uint8Array
  /** What the proofs are bound to (protocol 10.1), 137 bytes. */
  readonly ctx: Uint8Array
  /** K of each, 33 bytes. */
  readonly points: Uint8Array
  /** 32 fresh random bytes for each. */
  readonly aux: Uint8Array
}

/** What one thread can do for another, packed: a message of many small arrays costs more than the arithmetic saves. */
export type ItemWork = HeaderWork | PartialWork

/** `count` parts of `length` bytes each, as arrays of their own. */
const split = (bytes: Uint8Array, length: number): readonly Uint8Array[] =>
  Array.from({ length: bytes.length / length }, (_, at) => bytes.slice(at * length, (at + 1) * length))

function join(parts: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.length * length)
  for (const [at, part] of parts.entries()) joined.set(part, at * length)
  return joined
}

export function packHeaders(curve: Curve, headers: readonly ProvenHeader[]): HeaderWork {
  const parts = headers.map(({ header, proof, ctHash }) => {
    const packed = new Uint8Array(HEADER_WORK_BYTES)
    packed.set(header.K)
    packed.set(header.Kbar, POINT_BYTES)
    packed.set(headerMessage(curve, header, ctHash), 2 * POINT_BYTES)
    packed.set(proof, 2 * POINT_BYTES + MESSAGE_BYTES)
    return packed
  })
  return { kind: 'headers', headers: join(parts, HEADER_WORK_BYTES) }
}

/** Points, and randomness for the proof of each. */
export interface PointsAndAux {
  readonly points: readonly PointBytes[]
  readonly aux: readonly Uint8Array[]
}

export const packPartials = (
  { points, aux }: PointsAndAux,
  sharing: Pick<PartialWork, 'share' | 'verificationShare' | 'ctx'>,
): PartialWork => ({
  kind: 'partials',
  // A view of a larger array would be sent with all of that array.
  share: sharing.share,
  verificationShare: sharing.verificationShare.slice(),
  ctx: sharing.ctx.slice(),
  points: join(points, POINT_BYTES),
  aux: join(aux, AUX_BYTES),
})

export const unpackHeaders = (done: Uint8Array): readonly boolean[] => [...done].map((byte) => byte === 1)

export const unpackPartials = (done: Uint8Array): readonly PartialDecryption[] =>
  split(done, PARTIAL_BYTES).map((part) => ({
    D: part.slice(0, POINT_BYTES) as PointBytes,
    proof: part.slice(POINT_BYTES),
  }))

/**
 * @returns what `unpackHeaders` or `unpackPartials` reads
 * @throws KmsError `self-check-failed` when the machine computes wrongly or the share is no longer the certified one
 */
export function doWork(curve: Curve, work: ItemWork): Uint8Array<ArrayBuffer> {
  return work.kind === 'headers' ? checkHeaders(curve, work) : computePartials(curve, work)
}

function checkHeaders(curve: Curve, { headers }: HeaderWork): Uint8Array<ArrayBuffer> {
  const holds = (packed: Uint8Array): boolean => {
    const A = packed.slice(0, POINT_BYTES) as PointBytes
    const C = packed.slice(POINT_BYTES, 2 * POINT_BYTES) as PointBytes
    const proofAt = 2 * POINT_BYTES + MESSAGE_BYTES
    const message = packed.slice(2 * POINT_BYTES, proofAt)
    const statement = { A, B: curve.secondGenerator, C, base: curve.generator, message }
    return verifyDleq(curve, statement, packed.slice(proofAt))
  }
  return Uint8Array.from(split(headers, HEADER_WORK_BYTES), (packed) => (holds(packed) ? 1 : 0))
}

function computePartials(
  curve: Curve,
  { share: bytes, verificationShare, ctx, points, aux }: PartialWork,
): Uint8Array<ArrayBuffer> {
  // Only a name for the memory of the key table, which wipes it: it is not destroyed here.
  const share = new Secret(bytes)
  const randomness = split(aux, AUX_BYTES)
  const parts = split(points, POINT_BYTES).map((K, at) => {
    const { D, proof } = createPartial(curve, {
      share,
      verificationShare: verificationShare as PointBytes,
      K: K as PointBytes,
      ctx,
      aux: randomness[at] ?? new Uint8Array(0),
    })
    const part = new Uint8Array(PARTIAL_BYTES)
    part.set(D)
    part.set(proof, POINT_BYTES)
    return part
  })
  return join(parts, PARTIAL_BYTES)
}
