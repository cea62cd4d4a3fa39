import { type RepairId, Secret } from '@tkms/dkg'
import { expect, it } from 'vitest'
import { drawHedgedSeed } from './hedged-seed.ts'
import { drawRepairSeed } from './repair/seeds.ts'

const seedOf = (byte: number): Secret => new Secret(new Uint8Array(32).fill(byte))
const rid = (byte: number): RepairId => new Uint8Array(32).fill(byte) as RepairId
const hex = (secret: Secret): string => secret.use((bytes) => Buffer.from(bytes).toString('hex'))

it('row 8: a seed needs both sources to be known: with a broken generator repairs differ by node and rid, with a known node seed by draw', () => {
  const broken = { bytes: (length: number) => new Uint8Array(length).fill(7) }
  const repairs = [drawRepairSeed(broken, seedOf(1), rid(1)), drawRepairSeed(broken, seedOf(2), rid(1))]
  const seeds = [...repairs, drawRepairSeed(broken, seedOf(1), rid(2))].map(hex)
  let drawn = 0
  const fresh = { bytes: (length: number) => new Uint8Array(length).fill(++drawn) }
  for (let draws = 0; draws < 2; draws++) seeds.push(hex(drawHedgedSeed(fresh, seedOf(1), Uint8Array.of(1))))
  expect(new Set(seeds).size).toBe(5)
  for (const seed of seeds) expect(seed).toHaveLength(64)
})

it('what the generator gave is wiped, the node seed is not', () => {
  const given = new Uint8Array(32).fill(7)
  const nodeSeed = seedOf(3)
  drawHedgedSeed({ bytes: () => given }, nodeSeed, Uint8Array.of(1))
  expect(given).toEqual(new Uint8Array(32))
  expect(hex(nodeSeed)).toBe('03'.repeat(32))
})
