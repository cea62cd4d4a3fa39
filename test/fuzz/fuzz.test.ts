import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KmsError } from '../../packages/dkg/src/errors.ts'
import { Dice } from '../model/dice.ts'
import { type Finding, fuzz, type FuzzTargets, openTargets } from './fuzz.ts'
import { mutate } from './mutate.ts'

let targets: FuzzTargets

beforeAll(async () => {
  targets = await openTargets()
})
afterAll(async () => {
  await targets.http?.stop()
})

const run = (
  some: Partial<FuzzTargets>,
  cases: number,
): Promise<{ crashes: number; server_errors: number; unhandled: number; findings: Finding[] }> => {
  const findings: Finding[] = []
  const chosen = { bytes: targets.bytes, texts: [], http: undefined, ...some }
  return fuzz(chosen, { cases, seed: 5, onFinding: (finding) => findings.push(finding) }).then((tally) => ({
    ...tally,
    findings,
  }))
}

describe('changed inputs', () => {
  it('crash nothing: no decoder, no reader of JSON, no HTTP server', async () => {
    const tally = await fuzz(targets, { cases: 4_000, seed: 3, onFinding: (finding) => console.error(finding) })
    expect(tally).toMatchObject({ cases: 4_000, crashes: 0, unhandled: 0, server_errors: 0 })
    expect(tally.targets).toBe(targets.bytes.length + targets.texts.length + 1)
  })

  it.each(['request', 'certificate', 'join payload', 'repair message', 'session'])(
    'of a %s are read to their depth: some pass, most are refused in many words',
    (name) => {
      const target = targets.bytes.find((candidate) => candidate.name === name)
      if (target === undefined) throw new Error('no such target')
      const dice = new Dice(11)
      const problems = new Set<string>()
      let read = 0
      for (let at = 0; at < 3_000; at++)
        try {
          target.run(mutate(dice, target.seeds, target.seeds))
          read++
        } catch (error) {
          if (!(error instanceof Error)) throw error
          problems.add(error.message)
        }
      expect(read).toBeGreaterThan(20)
      expect(problems.size).toBeGreaterThan(5)
    },
  )
})

describe('the fuzzer', () => {
  const seeds = [new Uint8Array(64).fill(1)]

  it('finds what is thrown and is no typed error', async () => {
    const careless = {
      name: 'careless',
      seeds,
      run: (bytes: Uint8Array): undefined => {
        if (bytes.length === 0) throw new RangeError('I had not thought of that')
        throw new KmsError('bad-encoding', 'as it should be')
      },
    }
    const { crashes, findings } = await run({ bytes: [careless] }, 3_000)
    expect(crashes).toBeGreaterThan(0)
    expect(findings[0]?.problem).toContain('I had not thought of that')
  })

  it('finds a decoder that reads two encodings', async () => {
    const lenient = { name: 'lenient', seeds, run: (bytes: Uint8Array): Uint8Array => bytes.subarray(0, 64) }
    expect((await run({ bytes: [lenient] }, 1_000)).crashes).toBeGreaterThan(0)
  })

  it('finds a decoder that changes its input', async () => {
    const wiping = {
      name: 'wiping',
      seeds,
      run: (bytes: Uint8Array): Uint8Array => {
        bytes.fill(0)
        return bytes
      },
    }
    expect((await run({ bytes: [wiping] }, 1_000)).crashes).toBeGreaterThan(0)
  })

  it('finds a promise that nobody waits for', async () => {
    const loose = {
      name: 'loose',
      seeds,
      run: (bytes: Uint8Array): undefined => {
        if (bytes.length < 10) void Promise.reject(new Error('lost'))
        return undefined
      },
    }
    expect((await run({ bytes: [loose] }, 2_000)).unhandled).toBeGreaterThan(0)
  })
})
