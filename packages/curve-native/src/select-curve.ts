import { type Curve, encodeScalar, equalBytes, nobleCurve, Secret } from '@tkms/dkg'
import { createNativeCurve, type Libsecp256k1 } from './native-curve.ts'

async function loadLibrary(): Promise<Libsecp256k1 | undefined> {
  try {
    return (await import('@tkms/curve-native/libsecp256k1')).secp256k1
  } catch {
    // A platform without a prebuilt binary: `selectCurve` says so to its caller.
    return undefined
  }
}

const library = await loadLibrary()

/** 2 * G in three ways against noble's G + G: a binary that computes wrongly would leak shares through faulty proofs, or take any proof. */
function computesCorrectly(curve: Curve): boolean {
  const two = new Secret(encodeScalar(2n))
  const expected = nobleCurve.sum([nobleCurve.generator, nobleCurve.generator])
  if (expected === undefined) return false
  const { generator } = curve
  const proof = { base: generator, point: generator, response: encodeScalar(5n), challenge: encodeScalar(3n) }
  const found = [curve.mulBaseSecret(two), curve.mulSecret(generator, two), curve.proofCommitment(proof)]
  return found.every((point) => point !== undefined && equalBytes(point, expected))
}

const missing = 'no libsecp256k1 binary for this platform: using the slower portable curve backend'
const broken = 'the libsecp256k1 binary failed its self-check: using the slower portable curve backend'

/** The curve to use, with a sentence for the log and the status page when it is not the native one. */
export interface SelectedCurve {
  readonly curve: Curve
  readonly fallbackReason?: string
}

/** The libsecp256k1 backend, or `undefined` where its binary is missing for this platform. */
export function loadNativeCurve(): Curve | undefined {
  return library === undefined ? undefined : createNativeCurve(library)
}

/** `native` where it exists and passes its self-check, else noble with the reason. */
export function chooseCurve(native: Curve | undefined): SelectedCurve {
  if (native === undefined) return { curve: nobleCurve, fallbackReason: missing }
  return computesCorrectly(native) ? { curve: native } : { curve: nobleCurve, fallbackReason: broken }
}

/** The libsecp256k1 backend where it exists and passes a self-check, else noble with the reason. */
export const selectCurve = (): SelectedCurve => chooseCurve(loadNativeCurve())
