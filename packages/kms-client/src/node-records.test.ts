import type { ClusterNode, ParticipantIndex } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { createNodeRecords, type NodeRecords } from './node-records.ts'

const index = (value: number): ParticipantIndex => value as ParticipantIndex
const nodes = [1, 2, 3].map((value) => ({ index: index(value), name: `n${value}` }) as ClusterNode)
const order = (records: NodeRecords): number[] => records.order(nodes).map((node) => node.index)

describe('createNodeRecords', () => {
  it('spreads first requests by the random values it is given', () => {
    const values = [5, 9, 1]
    expect(order(createNodeRecords(() => values.shift() ?? 0))).toEqual([3, 1, 2])
  })

  it('orders by median latency, the untried first', () => {
    const records = createNodeRecords(() => 0)
    for (const latencyMs of [10, 500, 12]) records.answered(index(1), latencyMs)
    records.answered(index(2), 11)
    expect(order(records)).toEqual([3, 2, 1])
  })

  it('asks failed nodes later and misbehaving ones last', () => {
    const records = createNodeRecords(() => 0)
    records.misbehaved(index(1))
    records.failed(index(2), 10_000)
    records.answered(index(3), 20)
    expect(order(records)).toEqual([3, 2, 1])
  })

  it('puts a node that others always outrun behind them', () => {
    const records = createNodeRecords(() => 0)
    records.outrun(index(1), 10)
    records.answered(index(2), 9)
    records.answered(index(3), 15)
    expect(order(records)).toEqual([2, 3, 1])
  })

  it('tries a node again whose samples are older than five minutes, but none that misbehaved', () => {
    let nowMs = 0
    const records = createNodeRecords(
      () => 0,
      () => nowMs,
    )
    records.failed(index(1), 10_000)
    records.misbehaved(index(2))
    nowMs = 299_000
    records.answered(index(3), 10)
    expect(order(records)).toEqual([3, 1, 2])
    nowMs = 301_000
    expect(order(records)).toEqual([1, 3, 2])
  })

  it('does not wait longer for a node because it refused', () => {
    const records = createNodeRecords(() => 0)
    for (let sample = 1; sample <= 20; sample++) records.answered(index(1), 60)
    for (let sample = 0; sample < 5; sample++) records.failed(index(1), 10_000)
    expect(records.hedgeAfterMs(index(1))).toBe(60)
    for (let sample = 0; sample < 20; sample++) records.failed(index(2), 10_000)
    expect(records.hedgeAfterMs(index(2))).toBe(1_000)
    expect(order(records)).toEqual([3, 1, 2])
  })

  it('hedges after the 95th percentile once it has enough samples, within bounds', () => {
    const records = createNodeRecords(() => 0)
    expect(records.hedgeAfterMs(index(1))).toBe(1_000)
    for (let sample = 1; sample <= 20; sample++) records.answered(index(1), sample * 10)
    expect(records.hedgeAfterMs(index(1))).toBe(200)
    for (let sample = 0; sample < 40; sample++) records.answered(index(1), 1)
    expect(records.hedgeAfterMs(index(1))).toBe(50)
  })
})
