import { expect, it } from 'vitest'
import { workerCount } from './open-workers.ts'

it.each([
  [{}, 1, 0],
  [{}, 2, 2],
  [{}, 64, 16],
  [{ workers: 0 }, 8, 0],
  [{ workers: 3 }, 1, 3],
])('%o on %i cores: %i threads', (config, cores, expected) => {
  expect(workerCount(config, cores)).toBe(expected)
})
