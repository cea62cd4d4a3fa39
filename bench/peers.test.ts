import { describe, expect, it } from 'vitest'
import { peerRows } from './peer-part.ts'
import { benchPeers } from './peers.ts'
import { createFerveo } from './peers/ferveo.ts'
import { createSeal } from './peers/seal.ts'
import { createSingleKey } from './peers/single-key.ts'
import { createUmbral } from './peers/umbral.ts'

const plaintext = new TextEncoder().encode('for the receiver')
const input = { n: 5, t: 3, plaintext }

describe('the bench of peers', () => {
  it('has Umbral open what was encrypted', async () => {
    const umbral = await createUmbral(input)
    expect(umbral.decryptVerified()).toEqual(plaintext)
    expect(umbral.decryptReceived()).toEqual(plaintext)
  })

  it('has ferveo open what was encrypted', async () => {
    expect((await createFerveo(input)).decryptReceived()).toEqual(plaintext)
  })

  it('has ECIES with one key open what was encrypted', () => {
    expect(Uint8Array.from(createSingleKey(plaintext).decrypt())).toEqual(plaintext)
  })

  it('has the client of Seal open what was encrypted, without its network', async () => {
    const seal = await createSeal(input)
    await expect(seal.decrypt()).resolves.toEqual(plaintext)
    await expect(seal.decryptAgain()).resolves.toEqual(plaintext)
  })

  it('measures every step and names what must hold', async () => {
    const costs = await benchPeers({ rounds: 1, calls: 1 })
    for (const figure of [...Object.values(costs.us), ...Object.values(costs.ratios)]) expect(figure).toBeGreaterThan(0)
    const rows = peerRows(costs)
    expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length)
    expect(rows.flatMap(({ bound, ratio }) => (bound === undefined ? [] : [{ bound, ratio }]))).toEqual([
      { bound: { atLeast: 1.8 }, ratio: expect.closeTo(costs.ratios.umbral_reencrypt_to_partial, 1) },
      { bound: { atLeast: 25 }, ratio: expect.any(Number) },
      { bound: { atLeast: 1 }, ratio: expect.any(Number) },
      { bound: { atLeast: 1 }, ratio: expect.any(Number) },
    ])
  })
})
