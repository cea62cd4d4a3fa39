import { nobleCurve, type PointBytes, Secret } from '@tkms/dkg'
import { expect, it, vi } from 'vitest'
import { createFullPoints } from './full-points.ts'
import { secp256k1 as bindings } from './libsecp256k1.ts'

const productOf = (k: number): PointBytes => nobleCurve.mulBaseSecret(Secret.copyOf(new Uint8Array(32).fill(k)))
const coordinates = (point: PointBytes): readonly [Uint8Array, Uint8Array] => {
  const full = bindings.publicKeyConvert(point, false, new Uint8Array(65))
  return [full.slice(1, 33), full.slice(33)]
}

it('remembers a product until four more have come, and then only its bytes', () => {
  const points = createFullPoints(bindings)
  const products = [1, 2, 3, 4, 5].map(productOf)
  for (const product of products.slice(0, 4)) points.rememberProduct(product, ...coordinates(product))
  for (const product of products.slice(0, 4)) expect(points.of(product)).toHaveLength(65)
  const [first = productOf(1), , , , last = productOf(5)] = products
  points.rememberProduct(last, ...coordinates(last))
  expect(points.of(first)).toBe(first)
  expect(points.of(last)).toEqual(Uint8Array.of(4, ...coordinates(last)[0], ...coordinates(last)[1]))
})

it('does not take other bytes written into a product for it', () => {
  const points = createFullPoints(bindings)
  const product = productOf(1)
  points.rememberProduct(product, ...coordinates(product))
  product.fill(0)
  expect(points.of(product)).toBe(product)
})

it('reads a point once for as long as its bytes are held', () => {
  const publicKeyConvert = vi.fn(bindings.publicKeyConvert.bind(bindings))
  const points = createFullPoints({ publicKeyConvert })
  const point = productOf(7)
  expect([points.remember(point), points.remember(point), points.of(point).length]).toEqual([true, true, 65])
  expect(publicKeyConvert).toHaveBeenCalledTimes(1)
  expect(points.remember(Uint8Array.of(2, ...new Uint8Array(31), 5))).toBe(false)
})
