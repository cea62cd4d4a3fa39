import { ed25519 } from '@noble/curves/ed25519.js'
import { verifyEd25519, type NodePublicKey, type SignMessage } from '@tkms/dkg'
import secp256k1 from 'secp256k1/bindings.js'
import { secretMultiply } from './floor.ts'

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length))
const randomScalar = (): Uint8Array => random(32).fill(1, 0, 1)
const times = (count: number, run: () => void): void => {
  for (let n = 0; n < count; n++) run()
}

/** The bare operations of one node in an honest key generation, by the clock. */
export interface CeremonyFloor {
  /** libsecp256k1: what dealing, checking n dealings and summing them takes. */
  readonly curveMs: number
  /** Ed25519: every message signed once natively, and verified once by every other member with the one verifier for ceremonies. */
  readonly signaturesMs: number
}

/** Measures the floor in n slices, so that it can be measured while a ceremony runs: a busy machine slows both down alike. */
export interface FloorSampler {
  sample(): void
  /** Spent in `sample` so far. */
  readonly tookMs: number
  /** On average over what was sampled. */
  floor(): CeremonyFloor
}

/**
 * Does what protocol 4 asks of one node of n in a view where nothing is lost, each operation in the cheapest form libsecp256k1 has, and
 * nothing else: no hashing, decoding of messages, state or copies.
 */
export function createFloorSampler(n: number, t: number, sign: SignMessage): FloorSampler {
  const curve = createCurveWork(n, t)
  const signatures = createSignatureWork(n, sign)
  let curveMs = 0
  let signaturesMs = 0
  let slices = 0
  return {
    sample() {
      const slice = slices++ % n
      const startMs = performance.now()
      curve(slice)
      const betweenMs = performance.now()
      signatures(slice)
      curveMs += betweenMs - startMs
      signaturesMs += performance.now() - betweenMs
    },
    get tookMs() {
      return curveMs + signaturesMs
    },
    floor: () => ({ curveMs: (curveMs / slices) * n, signaturesMs: (signaturesMs / slices) * n }),
  }
}

/** How much of `total` falls to one of n slices, so that all of them together are `total`. */
const partOf = (total: number, slice: number, n: number): number =>
  Math.floor((total * (slice + 1)) / n) - Math.floor((total * slice) / n)

function createCurveWork(n: number, t: number): (slice: number) => void {
  const scalar = randomScalar()
  const point = secp256k1.publicKeyCreate(randomScalar())
  const decoded = secp256k1.publicKeyConvert(point, false)
  const column = Array.from({ length: n }, () => secp256k1.publicKeyCreate(randomScalar(), false))
  const signature = Uint8Array.from([...point.subarray(1), ...scalar])

  const decode = (): Uint8Array => secp256k1.publicKeyConvert(point, false)
  const multiplyBase = (): Uint8Array => secp256k1.publicKeyCreate(scalar)
  /** s * G - e * P. */
  const verifyPossession = (): Uint8Array => secp256k1.ecdsaRecover(signature, (point[0] ?? 0) - 2, scalar)
  /** s * G == Horner(A, j): one multiplication by the index and one addition for each coefficient but the highest. */
  const checkShare = (index: number): void => {
    const factor = new Uint8Array(32)
    factor[31] = index
    let sum = decoded
    for (let k = 1; k < t; k++)
      sum = secp256k1.publicKeyCombine([secp256k1.publicKeyTweakMul(sum, factor, false), decoded], false)
    multiplyBase()
  }
  /** Z, popA, popR, and the share itself. */
  const checkDealing = (index: number): void => {
    times(t + 1, decode)
    times(2, verifyPossession)
    secretMultiply(decoded, scalar)
    checkShare(index)
  }
  return (slice) => {
    // EK of a JOIN, and what is dealt to its sender.
    decode()
    secretMultiply(decoded, scalar)
    checkDealing(slice + 1)
    // EK, R and A of this node. A' of the PROPOSE, and the same sums again.
    times(partOf(t + 2, slice, n), multiplyBase)
    times(partOf(t, slice, n), decode)
    times(partOf(t, slice, n), () => secp256k1.publicKeyCombine(column))
    if (slice > 0) return
    // Its proofs of possession, each verified before it leaves, and its own share under A'.
    times(2, multiplyBase)
    times(2, verifyPossession)
    checkShare(n)
  }
}

/** JOIN, DEAL, VOUCH, VOTE and COMMIT of everybody, JOINSET and PROPOSE of the leader. */
function createSignatureWork(n: number, sign: SignMessage): (slice: number) => void {
  const secretKey = random(32)
  const publicKey = ed25519.getPublicKey(secretKey) as NodePublicKey
  const message = random(64)
  const signature = ed25519.sign(message, secretKey)
  return (slice) => {
    times(partOf(5 + 2 / n, slice, n), () => sign(message))
    times(partOf(((5 * n + 2) * (n - 1)) / n, slice, n), () => {
      if (!verifyEd25519(publicKey, message, signature)) throw new Error('the signature holds')
    })
  }
}
