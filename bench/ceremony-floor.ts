import { ed25519 } from '@noble/curves/ed25519.js'
import { verifyEd25519, type NodePublicKey, type SignMessage } from '@tkms/dkg'
import secp256k1 from 'secp256k1/bindings.js'
import { cpuMs } from './statistics.ts'
import { secretMultiply } from './floor.ts'

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length))
const randomScalar = (): Uint8Array => random(32).fill(1, 0, 1)
const times = (count: number, run: () => void): void => {
  for (let n = 0; n < count; n++) run()
}

/** The bare operations of one node in an honest key generation, in ms of processor. */
export interface CeremonyFloor {
  /** libsecp256k1: what dealing, checking n dealings, and summing them takes. */
  readonly curve_ms: number
  /** Ed25519: every message signed once natively, and verified once by every other member with the one verifier for ceremonies. */
  readonly signatures_ms: number
}

/**
 * Does what protocol 4 asks of one node of n in a view where nothing is lost, each operation in the cheapest form libsecp256k1 has, and
 * nothing else: no hashing, decoding of messages, state or copies.
 */
export function measureCeremonyFloor(n: number, t: number, sign: SignMessage): CeremonyFloor {
  return { curve_ms: cpuMs(createCurveWork(n, t)), signatures_ms: cpuMs(createSignatureWork(n, sign)) }
}

function createCurveWork(n: number, t: number): () => void {
  const scalar = randomScalar()
  const point = secp256k1.publicKeyCreate(randomScalar())
  const decoded = secp256k1.publicKeyConvert(point, false)
  const column = Array.from({ length: n }, () => secp256k1.publicKeyCreate(randomScalar(), false))
  const signature = Uint8Array.from([...point.subarray(1), ...scalar])

  const decode = (): Uint8Array => secp256k1.publicKeyConvert(point, false)
  const multiplyBase = (): Uint8Array => secp256k1.publicKeyCreate(scalar)
  /** s * G - e * P. */
  const verifyPossession = (): Uint8Array => secp256k1.ecdsaRecover(signature, (point[0] ?? 0) - 2, scalar)
  const provePossession = (): void => {
    multiplyBase()
    verifyPossession()
  }
  /** s * G == Horner(A, j): one multiplication by the index and one addition for each coefficient but the highest. */
  const checkShare = (index: number): void => {
    const factor = new Uint8Array(32)
    factor[31] = index
    let sum = decoded
    for (let k = 1; k < t; k++)
      sum = secp256k1.publicKeyCombine([secp256k1.publicKeyTweakMul(sum, factor, false), decoded], false)
    multiplyBase()
  }

  const join = (): void => {
    // EK, R, A[0..t-1] of its own; EK of the others.
    times(2 + t, multiplyBase)
    times(n, decode)
  }
  const deal = (): void => {
    times(n, () => secretMultiply(decoded, scalar))
    times(2, provePossession)
  }
  const checkDealing = (): void => {
    times(t + 1, decode)
    times(2, verifyPossession)
    secretMultiply(decoded, scalar)
    checkShare(n)
  }
  const vote = (): void => {
    // A' of the PROPOSE, recomputed, and the own share against it.
    times(t, decode)
    times(t, () => secp256k1.publicKeyCombine(column))
    checkShare(n)
  }
  return () => {
    join()
    deal()
    times(n, checkDealing)
    vote()
  }
}

/** JOIN, DEAL, VOUCH, VOTE and COMMIT of everybody, JOINSET and PROPOSE of the leader. */
function createSignatureWork(n: number, sign: SignMessage): () => void {
  const secretKey = random(32)
  const publicKey = ed25519.getPublicKey(secretKey) as NodePublicKey
  const message = random(64)
  const signature = ed25519.sign(message, secretKey)
  return () => {
    times(Math.round(5 + 2 / n), () => sign(message))
    times(Math.round(((5 * n + 2) * (n - 1)) / n), () => {
      if (!verifyEd25519(publicKey, message, signature)) throw new Error('the signature holds')
    })
  }
}
