import type { PointBytes } from '@tkms/dkg'
import type { Libsecp256k1 } from './native-curve.ts'

const FULL_BYTES = 65

/** Points with both coordinates, as the library reads them without taking a square root. Public values. */
export interface FullPoints {
  /** Remembers a point for as long as its bytes are held. @returns whether these bytes are a point */
  remember(bytes: Uint8Array): boolean
  /** The point in the form that costs least to read: 65 bytes where it is remembered, else as it is. */
  of(point: PointBytes): Uint8Array
}

export function createFullPoints(library: Pick<Libsecp256k1, 'publicKeyConvert'>): FullPoints {
  const known = new WeakMap<Uint8Array, Uint8Array>()
  return {
    remember(bytes) {
      if (isSamePoint(known.get(bytes), bytes)) return true
      const full = new Uint8Array(FULL_BYTES)
      try {
        library.publicKeyConvert(bytes, false, full)
      } catch {
        // The library says "not a point" only by throwing; its arguments are of the right types and lengths.
        return false
      }
      known.set(bytes, full)
      return true
    },
    of(point) {
      const full = known.get(point)
      return isSamePoint(full, point) ? full : point
    },
  }
}

/** Whoever holds the bytes may have written other ones into them since. */
function isSamePoint(full: Uint8Array | undefined, point: Uint8Array): full is Uint8Array {
  if (full === undefined || point[0] !== 2 + ((full[FULL_BYTES - 1] ?? 0) & 1)) return false
  for (let at = 1; at < point.length; at++) if (full[at] !== point[at]) return false
  return true
}
