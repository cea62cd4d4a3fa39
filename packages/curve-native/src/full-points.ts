import { POINT_BYTES, type PointBytes } from '@tkms/dkg'
import type { Libsecp256k1 } from './native-curve.ts'

const COORDINATE_BYTES = 32
/** A proven partial needs its D again after one more product. */
const PRODUCTS = 4
export const FULL_BYTES = 65
/** SEC1: both coordinates follow. */
const UNCOMPRESSED = 4

/**
 * Points with both coordinates, as the library reads them without taking a square root. Public values.
 * What the library reads and writes here is always the same few arrays: a small array of JavaScript's own heap has to move out of it
 * when it is lent.
 */
export interface FullPoints {
  /** Remembers a point for as long as its bytes are held. @returns whether these 33 bytes are a point */
  remember(bytes: Uint8Array): boolean
  /**
   * The same for a product with a secret, whose coordinates are at hand, 32 bytes each: they are copied, and written over by the fourth
   * product after it, since nobody could wipe them.
   */
  rememberProduct(point: PointBytes, x: Uint8Array, y: Uint8Array): void
  /** The point in the form that costs least to read: 65 bytes where it is remembered, else 33. */
  of(point: PointBytes): Uint8Array
  /** The same, to be used before the next call of anything here. */
  lend(point: PointBytes): Uint8Array
}

interface Product {
  point: PointBytes | undefined
  /** x || y. */
  readonly coordinates: Uint8Array
}

export function createFullPoints(library: Pick<Libsecp256k1, 'publicKeyConvert'>): FullPoints {
  /** x || y. */
  const known = new WeakMap<Uint8Array, Uint8Array>()
  const products: Product[] = Array.from({ length: PRODUCTS }, () => ({
    point: undefined,
    coordinates: new Uint8Array(2 * COORDINATE_BYTES),
  }))
  let oldest = 0
  const compressed = new Uint8Array(POINT_BYTES)
  const full = new Uint8Array(FULL_BYTES)
  const coordinates = full.subarray(1)

  const isKnown = (point: Uint8Array): boolean => {
    const found = known.get(point) ?? products.find((product) => product.point === point)?.coordinates
    if (found === undefined || !isSamePoint(found, point)) return false
    full[0] = UNCOMPRESSED
    coordinates.set(found)
    return true
  }

  return {
    remember(bytes) {
      if (isKnown(bytes)) return true
      compressed.set(bytes)
      try {
        library.publicKeyConvert(compressed, false, full)
      } catch {
        // The library says "not a point" only by throwing; its arguments are of the right types and lengths.
        return false
      }
      known.set(bytes, coordinates.slice())
      return true
    },
    rememberProduct(point, x, y) {
      const product = products[oldest]
      if (product === undefined) return
      oldest = (oldest + 1) % PRODUCTS
      product.point = point
      product.coordinates.set(x)
      product.coordinates.set(y, COORDINATE_BYTES)
    },
    of: (point) => (isKnown(point) ? full.slice() : point),
    lend(point) {
      if (isKnown(point)) return full
      if (point.length !== POINT_BYTES) return point
      compressed.set(point)
      return compressed
    },
  }
}

/** Whoever holds the bytes may have written other ones into them since. */
function isSamePoint(coordinates: Uint8Array, point: Uint8Array): boolean {
  if (point[0] !== 2 + ((coordinates[2 * COORDINATE_BYTES - 1] ?? 0) & 1)) return false
  for (let at = 0; at < COORDINATE_BYTES; at++) if (coordinates[at] !== point[at + 1]) return false
  return true
}
