import { expect, it } from 'vitest'
import { SWEEPS, sweepAll } from './kills.ts'

for (const [name, sweep] of SWEEPS)
  it(`rows 17 and 27, every 31st point: ${name}`, async () => {
    const { kills, broken } = await sweepAll(sweep, 31)
    expect(kills).toBeGreaterThan(4)
    expect(broken).toEqual([])
  })
