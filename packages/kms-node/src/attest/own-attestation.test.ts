import { bytesToHex } from '@noble/hashes/utils.js'
import { afterEach, expect, test, vi } from 'vitest'
import type { Attester } from '../ports.ts'
import { fixedCollateral } from './collateral.fixture.ts'
import { attestError } from './errors.ts'
import { type CollateralWishes, MINTED_MR_TD, mintChain } from './minted-chain.fixture.ts'
import type { AllowedMeasurement } from './measurements.ts'
import { createOwnAttestation, type OwnAttestation } from './own-attestation.ts'
import { createQuoteVerifier } from './verify-quote.ts'

const DAY_MS = 86_400_000
const started = Date.parse('2026-05-04T03:02:01Z')
const chain = mintChain(started)
const mrTd = bytesToHex(MINTED_MR_TD)
const simulated: Attester = { provider: 'simulated', quote: async (data) => chain.tdxQuote(data) }

let own: OwnAttestation
afterEach(() => own.stop())

interface World {
  nowMs: number
  collateral: CollateralWishes
  attester: Attester
}

/** @returns what was logged */
function watch(world: World, allow: readonly AllowedMeasurement[] = []): string[] {
  const said: string[] = []
  const clock = { nowMs: () => world.nowMs }
  let draws = 0
  own = createOwnAttestation({
    attester: { provider: world.attester.provider, quote: (...given) => world.attester.quote(...given) },
    verifiers: (allowed) =>
      createQuoteVerifier({
        root: chain.root,
        collateral: { ...fixedCollateral(chain.collateral()), get: async () => chain.collateral(world.collateral) },
        allow: allowed,
        clock,
      }),
    allow,
    warnDays: 14,
    clock,
    rng: { bytes: (length) => new Uint8Array(length).fill(++draws) },
    log: { warn: (entry: unknown, text?: string) => void said.push(`${text ?? ''} ${JSON.stringify(entry)}`) },
  })
  return said
}

test('says what runs here, by which name, and until when others take it; it warns once a day before the end', async () => {
  const world: World = { nowMs: started, collateral: {}, attester: simulated }
  const said = watch(world, [{ name: 'released', mrTd }])
  const expiresMs = started - 3_600_000 + 30 * DAY_MS
  await vi.waitFor(() => expect(own.state()).toHaveProperty('expiresMs'))
  expect(own.state()).toMatchObject({
    provider: 'simulated',
    measurement: { tee: 'tdx', mrTd },
    allowedAs: 'released',
    expiresMs,
  })
  expect(own.state()).not.toHaveProperty('refused')
  expect(said).toEqual([])
  world.nowMs += 20 * DAY_MS
  await own.look()
  await own.look()
  expect(said).toEqual(['own-quote-ends {"daysLeft":9}'])
  world.nowMs += DAY_MS
  await own.look()
  expect(said.slice(1)).toEqual(['own-quote-ends {"daysLeft":8}'])
  world.nowMs += 10 * DAY_MS
  await own.look()
  await own.look()
  expect(own.state()).toMatchObject({ refused: 'expired', expiresMs })
  expect(said.slice(2)).toEqual([expect.stringMatching(/^own-quote-refused \{"reason":"expired",/)])
})

test('what is on no allow list is no reason to refuse itself; a revoked platform and one that fails are, until they mend', async () => {
  const world: World = { nowMs: started, collateral: { revokePck: true }, attester: simulated }
  watch(world)
  await vi.waitFor(() => expect(own.state()).toMatchObject({ refused: 'revoked' }))
  expect(own.state()).not.toHaveProperty('allowedAs')
  expect(own.state()).not.toHaveProperty('expiresMs')
  world.collateral = {}
  await own.look()
  expect(own.state()).not.toHaveProperty('refused')
  const gone = attestError('attestation-unavailable', 'the device is gone')
  for (const [quote, refused] of [
    [() => Promise.reject(gone), 'missing'],
    [() => Promise.resolve(new Uint8Array(9)), 'malformed'],
  ] as const) {
    world.attester = { provider: 'tdx', quote }
    await own.look()
    expect(own.state()).toMatchObject({ refused, measurement: { mrTd } })
  }
  world.attester = { provider: 'tdx', quote: async (data) => chain.sgxQuote(data) }
  world.collateral = { tee: 'sgx' }
  await own.look()
  expect(own.state()).toMatchObject({ measurement: { tee: 'sgx' } })
  expect(own.state()).not.toHaveProperty('refused')
})

test('a node that proves nothing asks for no quote', async () => {
  const quote = vi.fn<Attester['quote']>()
  watch({ nowMs: started, collateral: {}, attester: { provider: 'none', quote } })
  expect(own.state()).toEqual({ provider: 'none' })
  expect(quote).not.toHaveBeenCalled()
})
