import { describe, expect, it } from 'vitest'
import { seededRandom } from '../support/simulated-committee.ts'
import type { Course } from './soak.ts'
import type { Census, Point } from './soaked-process.ts'
import { grows, growthsOf, moreOf } from './verdict.ts'

/** A node of a soak of three minutes, in kB, every 5.3 s from the end of saturation on. */
const OBJECTS = [
  29116, 29163, 29183, 29208, 29224, 29233, 29299, 29240, 29249, 29245, 29255, 29307, 29440, 29268, 29339, 29267, 29281,
  29280, 29281, 29283, 29352, 29288, 29288, 29287, 29289, 29359, 29357, 29308, 29299, 29299,
]
const COMPILED = [
  8177, 8301, 8393, 8479, 8497, 8493, 8522, 8561, 8572, 8549, 8576, 8534, 8557, 8558, 8579, 8570, 8582, 8585, 8621,
  8664, 8665, 8684, 8671, 8691, 8696, 8681, 8701, 8705, 8717, 8720,
]
const RESIDENT = [
  139309, 139776, 139674, 139862, 139923, 139944, 139960, 140112, 140792, 140644, 140694, 140747, 140906, 140849,
  140952, 140964, 140976, 140993, 141013, 141140, 141070, 141079, 141226, 141189, 141296, 140988, 141095, 141267,
  141251, 141259,
]
const INTERVAL_MS = 5_300
const REQUESTS_PER_SECOND = 36
const CENSUS: Census = { classes: { YamuxStream: 5, Socket: 11, AbortSignal: 30 }, listeners: 390 }

interface Leak {
  readonly objects?: number
  readonly resident?: number
}

/** That node, if it kept so many more bytes of each request. */
function recorded(leak: Leak = {}): Course {
  const points = OBJECTS.map((objects, at): Point => {
    const requests = (REQUESTS_PER_SECOND * INTERVAL_MS * at) / 1000
    return {
      atMs: INTERVAL_MS * at,
      objects: 1000 * objects + (leak.objects ?? 0) * requests,
      compiled: 1000 * (COMPILED[at] ?? 0),
      resident: 1000 * (RESIDENT[at] ?? 0) + (leak.objects ?? leak.resident ?? 0) * requests,
      files: 42 + (at % 3),
      resources: 18 - (at % 2),
    }
  })
  return { name: 'node-2', points, before: CENSUS, after: CENSUS }
}

/** An hour, every 30 s: memory that scatters by 50 kB about a line, resident memory by 300 kB. */
function hour(mbPerHour: { readonly heap: number; readonly compiled?: number; readonly resident: number }): Course {
  const random = seededRandom(3)
  const noise = (bytes: number): number => bytes * (random() + random() + random() - 1.5)
  const points = Array.from({ length: 120 }, (_, at): Point => {
    const hours = (30 * at) / 3600
    return {
      atMs: 30_000 * at,
      objects: 30e6 + mbPerHour.heap * 1e6 * hours + noise(100e3),
      compiled: 9e6 + (mbPerHour.compiled ?? 0) * 1e6 * hours,
      resident: 140e6 + mbPerHour.resident * 1e6 * hours + noise(600e3),
      files: 42,
      resources: 18,
    }
  })
  return { name: 'node-2', points, before: CENSUS, after: CENSUS }
}

const growing = (course: Course): readonly string[] =>
  growthsOf(course)
    .filter(grows)
    .map(({ what }) => what)

const more = (change: Partial<Census>): readonly string[] => moreOf({ ...recorded(), after: { ...CENSUS, ...change } })

describe('the verdict on three minutes', () => {
  it('passes what was recorded of a node that leaks nothing', () => {
    expect(growing(recorded())).toEqual([])
    expect(moreOf(recorded())).toEqual([])
  })

  it.each([100, 300])('finds a leak of %s bytes per request', (bytes) => {
    expect(growing(recorded({ objects: bytes }))).toContain('objects')
  })

  it('finds a leak of a kilobyte per request outside the heap', () => {
    expect(growing(recorded({ resident: 1000 }))).toEqual(['resident'])
  })

  it('finds what is left behind, and lets come and go what does', () => {
    expect(more({ classes: { ...CENSUS.classes, YamuxStream: 14 } })).toEqual(['node-2: 9 more YamuxStream'])
    expect(more({ classes: { ...CENSUS.classes, QueuedCall: 12 } })).toEqual(['node-2: 12 more QueuedCall'])
    expect(more({ listeners: 455 })).toEqual(['node-2: 65 more listeners'])
    expect(more({ classes: { ...CENSUS.classes, YamuxStream: 11 }, listeners: 420 })).toEqual([])
  })

  it('finds files and sockets that stay open', () => {
    const course = recorded()
    const points = course.points.map((point, at) => ({ ...point, files: point.files + at, resources: 18 + at / 2 }))
    expect(moreOf({ ...course, points })).toEqual([
      expect.stringMatching(/^node-2: \d+ more file descriptors$/),
      expect.stringMatching(/^node-2: \d+ more active resources$/),
    ])
  })

  it('judges a shorter course by the limits of this one', () => {
    const points = recorded({ objects: 300 }).points.slice(-9)
    const short = { ...recorded(), points }
    expect(growing(short)).toEqual([])
    expect(
      growthsOf(short, recorded())
        .filter(grows)
        .map(({ what }) => what),
    ).toContain('objects')
  })
})

describe('the verdict on an hour', () => {
  it('allows 1 MB/h', () => {
    expect(growing(hour({ heap: 0.9, resident: 0.9 }))).toEqual([])
    expect(growing(hour({ heap: 1.3, resident: 0 }))).toEqual(['heap'])
    expect(growing(hour({ heap: 0, resident: 1.6 }))).toEqual(['resident'])
  })

  it('counts compiled code as part of the heap', () => {
    expect(growing(hour({ heap: 0, compiled: 2, resident: 0 }))).toEqual(['heap'])
  })
})
