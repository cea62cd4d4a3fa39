import { BoundedMap } from '../serve/bounded-map.ts'
import { no, type PolicyRule, type RuleVerdict, YES } from './decision.ts'
import type { Report, RuleType } from './rule-type.ts'
import { createWindowCounter, type QuotaWindow, type WindowCounter } from './window-counter.ts'

const QUOTA = 'quota'
/** Per rule, requesters and addresses each: a few tens of megabytes at the most. */
const MAX_CALLERS = 100_000
/** Quotas of one policy, and of those before it. */
const MAX_QUOTAS = 256
const MAX_ITEMS = 1_000_000_000
const MAX_SECONDS = 31 * 24 * 3600

interface QuotaOptions {
  readonly requester?: readonly QuotaWindow[]
  readonly address?: readonly QuotaWindow[]
}
interface Counters {
  readonly requester: WindowCounter | undefined
  readonly address: WindowCounter | undefined
}

/** What was used of every quota, kept when the policy file is read again. A restart forgets it. */
export interface QuotaBook {
  /** The counters of the quota that stands at this place of the policy with these options. */
  countersOf(place: string, options: QuotaOptions): Counters
}

export function createQuotaBook(): QuotaBook {
  const known = new BoundedMap<string, Counters>(MAX_QUOTAS)
  return {
    countersOf: (place, options) => {
      const name = `${place} ${JSON.stringify(options)}`
      const counters = known.get(name) ?? {
        requester: options.requester && createWindowCounter(options.requester, MAX_CALLERS),
        address: options.address && createWindowCounter(options.address, MAX_CALLERS),
      }
      known.set(name, counters)
      return counters
    },
  }
}

/**
 * Yes while the requester and the address it asks from have room in their windows; each yes counts one item, until it is clear that
 * the item is not released. Put it last in an "all of", so that it counts only what the other rules allow. A dry run counts nothing.
 */
export function createQuotaRule({ requester, address }: Counters): PolicyRule {
  return {
    name: QUOTA,
    coarse: true,
    decide({ requesterId, remote, nowSeconds, dryRun, unlessReleased }) {
      const checked =
        refusal(address?.room(remote, nowSeconds), 'address') ??
        refusal(requester?.room(requesterId, nowSeconds), 'requester')
      if (checked !== undefined) return checked
      if (dryRun) return YES
      for (const undo of [address?.count(remote, nowSeconds), requester?.count(requesterId, nowSeconds)])
        if (undo !== undefined) unlessReleased(undo)
      return YES
    },
  }
}

function refusal(
  room: 'room' | 'used-up' | 'full' | undefined,
  whose: 'address' | 'requester',
): RuleVerdict | undefined {
  if (room === 'used-up') return no(`${whose}-quota-used-up`)
  return room === 'full' ? { kind: 'no', reason: `${whose}-quota-table-full`, undecided: true } : undefined
}

/** `rule: quota` with `requester:` and `address:`, at least one of them: one or two of `{items, seconds}`. */
export const quotaRuleType: RuleType = {
  name: QUOTA,
  parse({ requester, address, ...others }, problem) {
    const unknown = Object.keys(others)
    for (const name of unknown) problem(name, 'is no option of quota')
    if (requester === undefined && address === undefined) return problem('requester', 'or address must be given')
    const perRequester = requester === undefined ? [] : readWindows('requester', requester, problem)
    const perAddress = address === undefined ? [] : readWindows('address', address, problem)
    if (perRequester === undefined || perAddress === undefined || unknown.length > 0) return undefined
    const options = {
      ...(perRequester.length > 0 && { requester: perRequester }),
      ...(perAddress.length > 0 && { address: perAddress }),
    }
    return ({ quotas }, place) => createQuotaRule(quotas.countersOf(place, options))
  },
}

function readWindows(path: string, value: unknown, problem: Report): readonly QuotaWindow[] | undefined {
  if (!Array.isArray(value) || value.length < 1 || value.length > 2)
    return problem(path, 'must be a list of one or two of {items, seconds}')
  const windows = value.map((window: unknown) => readWindow(window))
  const wrong = windows.findIndex((window) => window === undefined)
  if (wrong >= 0)
    return problem(
      `${path}.${wrong}`,
      `must be {items, seconds}, 1 to ${MAX_ITEMS} items in 1 to ${MAX_SECONDS} seconds`,
    )
  return windows.filter((window) => window !== undefined)
}

function readWindow(value: unknown): QuotaWindow | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { items, seconds, ...others }: { readonly items?: unknown; readonly seconds?: unknown } = value
  if (Object.keys(others).length > 0 || !isCount(items, MAX_ITEMS) || !isCount(seconds, MAX_SECONDS)) return undefined
  return { items, seconds }
}

const isCount = (value: unknown, max: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= max
