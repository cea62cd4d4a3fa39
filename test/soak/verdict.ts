import { type Slope, slopeOf } from './slope.ts'
import type { Course } from './soak.ts'
import type { Point } from './soaked-process.ts'

const MB = 1e6
/** What a process may gain, in MB/h. */
const MAX_MB_PER_HOUR = 1
/**
 * A span shorter than this cannot tell so small a slope from what is left of the warm-up: there V8 goes on compiling, which is not
 * counted as objects, and caches fill up by so many MB in all, which are allowed in addition.
 */
const LONG_HOURS = 0.5
const SETTLING_MB = { objects: 0.3, resident: 4 } as const
/** So many more of them at the end than at the beginning: under load connections come and go. */
const MAX_MORE = { files: 12, resources: 12, class: 8, listeners: 64 } as const

/** Of one process, in MB/h. */
export interface Growth {
  readonly process: string
  /** `heap`: objects and compiled code. */
  readonly what: 'objects' | 'heap' | 'resident'
  readonly slope: Slope
  /** What the lower end of the interval must not exceed; undefined where it is only told. */
  readonly limit: number | undefined
}

/**
 * The slopes of a process's memory. In short spans objects are judged, in long ones the whole heap.
 * @param of the span whose limits hold; default: its own
 */
export function growthsOf({ name, points }: Course, of?: Course): readonly Growth[] {
  const slope = (value: (point: Point) => number): Slope =>
    slopeOf(points.map((point) => ({ atMs: point.atMs, value: value(point) / MB })))
  const objects = slope((point) => point.objects)
  const heap = slope((point) => point.objects + point.compiled)
  const resident = slope((point) => point.resident)
  const hours = spanHours((of ?? { points }).points)
  const isLong = hours >= LONG_HOURS
  const limit = (settlingMb: number): number => MAX_MB_PER_HOUR + (isLong ? 0 : settlingMb / hours)
  return [
    { process: name, what: 'objects', slope: objects, limit: isLong ? undefined : limit(SETTLING_MB.objects) },
    { process: name, what: 'heap', slope: heap, limit: isLong ? limit(0) : undefined },
    { process: name, what: 'resident', slope: resident, limit: limit(SETTLING_MB.resident) },
  ]
}

const spanHours = (points: readonly Point[]): number =>
  ((points.at(-1)?.atMs ?? 0) - (points[0]?.atMs ?? 0)) / 3_600_000

/** Whether it certainly grows by more than it may. */
export const grows = ({ slope, limit }: Growth): boolean => limit !== undefined && slope.lowPerHour > limit

/** What there is certainly more of at the end of the course than at its beginning, by more than comes and goes. */
export function moreOf({ name, points, before, after }: Course): readonly string[] {
  const gained = (what: 'files' | 'resources'): number => {
    const { lowPerHour, hours } = slopeOf(points.map((point) => ({ atMs: point.atMs, value: point[what] })))
    return lowPerHour * hours
  }
  const classes = Object.entries(after.classes).map(
    ([kind, count]) => [kind, count - (before.classes[kind] ?? 0)] as const,
  )
  const found: readonly (readonly [string, number, number])[] = [
    ['file descriptors', gained('files'), MAX_MORE.files],
    ['active resources', gained('resources'), MAX_MORE.resources],
    ['listeners', after.listeners - before.listeners, MAX_MORE.listeners],
    ...classes.map(([kind, more]) => [kind, more, MAX_MORE.class] as const),
  ]
  return found
    .filter(([, more, most]) => more > most)
    .map(([what, more]) => `${name}: ${Math.round(more)} more ${what}`)
}
