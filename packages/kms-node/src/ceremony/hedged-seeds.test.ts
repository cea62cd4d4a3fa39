import { type CeremonyId, Secret } from '@tkms/dkg'
import { expect, it } from 'vitest'
import { drawViewSeeds, type ViewSeeds } from './hedged-seeds.ts'

const broken = { bytes: (length: number) => new Uint8Array(length).fill(7) }
const ceremony = (byte: number): CeremonyId => new Uint8Array(32).fill(byte) as CeremonyId
const hex = (secret: Secret | undefined): string => secret?.use((bytes) => Buffer.from(bytes).toString('hex')) ?? ''

it('row 8: with a broken generator seeds still differ by node, ceremony, view and use', () => {
  const draw = (node: number, id: number, view: number): ViewSeeds =>
    drawViewSeeds(broken, new Secret(new Uint8Array(32).fill(node)), ceremony(id), {
      view,
      dealing: true,
      receiver: true,
    })
  const drawn = [draw(1, 1, 0), draw(2, 1, 0), draw(1, 2, 0), draw(1, 1, 1)]
  const seeds = drawn.flatMap(({ dealing, receiver }) => [hex(dealing), hex(receiver)])
  expect(new Set(seeds).size).toBe(8)
  for (const seed of seeds) expect(seed).toHaveLength(64)
})
