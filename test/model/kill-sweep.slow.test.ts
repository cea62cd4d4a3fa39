import { describe, expect, it } from 'vitest'
import { SWEEPS, sweepAll } from './kills.ts'

describe('rows 17 and 27: the power goes at any point', () => {
  for (const [name, sweep] of SWEEPS)
    it(name, async () => {
      const { kills, broken } = await sweepAll(sweep)
      expect(kills).toBeGreaterThan(100)
      expect(broken).toEqual([])
    }, 300_000)
})
