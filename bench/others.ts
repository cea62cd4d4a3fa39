import { readFileSync } from 'node:fs'

const HAS_PROC = process.platform === 'linux'

interface Ticks {
  /** Of all cores, idle or not. */
  readonly all: number
  readonly idle: number
  /** Of this process and of its children that have ended. */
  readonly own: number
}

/** @param stat of /proc/stat @param self of /proc/self/stat */
export function readTicks(stat: string, self: string): Ticks {
  const numbers = (/^cpu +(.*)$/m.exec(stat)?.[1] ?? '').split(' ').map(Number)
  // What guests use is in `user` already.
  const cores = numbers.slice(0, 8)
  // The name may hold spaces and parentheses; utime is the twelfth field after it.
  const fields = (self.split(')').at(-1) ?? '').trim().split(' ').map(Number)
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
  return { all: sum(cores), idle: sum(cores.slice(3, 5)), own: sum(fields.slice(11, 15)) }
}

/** How much of the cores' time went to programs that are not this one: 0..1. */
export const shareOfOthers = (before: Ticks, after: Ticks): number => {
  const all = after.all - before.all
  const others = all - (after.idle - before.idle) - (after.own - before.own)
  return all <= 0 ? 0 : Math.min(1, Math.max(0, others / all))
}

/**
 * Watches what other programs take from the measurements. Children count as this program once they have ended.
 * @returns tells their share of the cores' time since; undefined where the system does not say
 */
export function watchOthers(): () => number | undefined {
  const read = (): Ticks => readTicks(readFileSync('/proc/stat', 'utf8'), readFileSync('/proc/self/stat', 'utf8'))
  const before = HAS_PROC ? read() : undefined
  return () => before && shareOfOthers(before, read())
}
