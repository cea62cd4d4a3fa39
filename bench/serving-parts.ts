import { benchMemory, type MemoryCost, type MemoryResult } from './memory.ts'
import { type Part, type Row, rowOf } from './report.ts'
import { benchServed, type InProcessCost, SERVED_REQUESTS, type ServedCost } from './served.ts'

/** A node's answers as another process gets them. */
export const served: Part = {
  name: 'served',
  title: 'One node asked by another process, beside the same in process on one core',
  async run({ quick, log }) {
    const result = await benchServed({ rounds: quick ? 1 : 3, requests: SERVED_REQUESTS, log })
    log(`node and load generator ${result.pinned ? 'have a core each' : 'share the cores of this machine'}`)
    const rows = result.transports.flatMap((cost) => servedRows(cost, result.in_process))
    return { rows, details: { served: result } }
  },
}

/** What a node holds. */
export const memory: Part = {
  name: 'memory',
  title: 'Memory of a node process, garbage collected',
  async run({ quick, log }) {
    const result = await benchMemory({
      connections: quick ? 32 : 128,
      pending: { connections: quick ? 2 : 8, each: 64 },
      warmUpRequests: quick ? 3_000 : 15_000,
      requests: quick ? 6_000 : 40_000,
      log,
    })
    return { rows: memoryRows(result), details: { memory: result } }
  },
}

const nameOf = (items: number): string => (items === 1 ? 'single' : `batch of ${items}`)

function servedRows(cost: ServedCost, inProcess: readonly InProcessCost[]): Row[] {
  const { transport, items, in_flight: inFlight } = cost
  const name = `${transport}, ${nameOf(items)}, ${inFlight} at once`
  const alone = inProcess.find((other) => other.items === items && other.in_flight === inFlight)
  const must = transport === 'libp2p' && inFlight > 1 ? { bound: { atLeast: 0.7 } } : {}
  return [
    ...rowOf({
      name,
      value: cost.items_per_s,
      unit: '/s',
      floor: alone?.items_per_s ?? null,
      ratio: cost.in_process_ratio,
      ...must,
    }),
    ...rowOf({
      name: `${name}, processor time`,
      value: cost.processor_us,
      unit: 'us',
      floor: alone?.processor_us ?? null,
      ratio: cost.processor_ratio === null ? null : 1 / cost.processor_ratio,
    }),
    ...rowOf({ name: `${name}, p50`, value: cost.p50_ms, unit: 'ms', floor: alone?.p50_ms ?? null }),
    ...rowOf({ name: `${name}, p99`, value: cost.p99_ms, unit: 'ms', floor: alone?.p99_ms ?? null }),
  ]
}

const MIB = 1024 * 1024

function memoryRows(result: MemoryResult): Row[] {
  const { idle, per_connection: connections, per_pending_request: pending, per_million_requests: million } = result
  return [
    ...inUnits('whole node', idle, 'MiB'),
    ...inUnits('libp2p connection', connections.libp2p, 'KiB'),
    ...inUnits('HTTPS connection', connections.http, 'KiB'),
    ...pending.flatMap((cost) => inUnits(`waiting request, ${nameOf(cost.items)}`, cost, 'KiB', cost.request_bytes)),
    ...inUnits(`a million requests, told from ${million.requests}`, million, 'MiB'),
  ]
}

/** @param floorBytes of what is held */
function inUnits(name: string, cost: MemoryCost, unit: 'KiB' | 'MiB', floorBytes: number | null = null): Row[] {
  const size = unit === 'KiB' ? 1024 : MIB
  const floor = floorBytes === null ? null : floorBytes / size
  return [
    ...rowOf({ name: `${name}, held`, value: cost.held_bytes / size, unit, floor }),
    ...rowOf({ name: `${name}, resident`, value: cost.resident_bytes / size, unit }),
  ]
}
