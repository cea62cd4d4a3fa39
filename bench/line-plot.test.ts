import { describe, expect, it } from 'vitest'
import { linePlot } from './line-plot.ts'
import type { Plot } from './report.ts'

const plot: Plot = {
  file: 'test',
  title: 'Latency & load',
  x: { label: 'load, %' },
  y: { label: 'ms' },
  series: [
    {
      name: 'p50',
      points: [
        [0, 0],
        [100, 10],
      ],
    },
    { name: 'p99', points: [[50, 5]] },
  ],
}

describe('linePlot', () => {
  it('draws zero at the corner and the largest values at the ends of the axes', () => {
    const svg = linePlot(plot)
    expect(svg).toContain('d="M74 362L696 78"')
    expect(svg).toContain('d="M385 220"')
    expect(svg).toContain('aria-label="Latency &amp; load"')
    expect(svg).toContain('prefers-color-scheme: dark')
  })

  it('draws equal factors at equal distances on a logarithmic axis', () => {
    const points = [
      [1, 1],
      [2, 10],
      [3, 100],
    ] as const
    const svg = linePlot({ ...plot, y: { label: 'ms', scale: 'log' }, series: [{ name: 'p50', points }] })
    expect(svg).toMatch(/d="M\S+ 362L\S+ 220L\S+ 78"/)
  })

  it.each<[string, Partial<Plot>]>([
    ['nothing', { series: [] }],
    ['zero on a logarithmic axis', { y: { label: 'ms', scale: 'log' } }],
    ['what is no number', { series: [{ name: 'p50', points: [[1, Number.NaN]] }] }],
    ['seven series', { series: Array.from({ length: 7 }, () => ({ name: 'p50', points: [[1, 1]] as const })) }],
  ])('does not draw %s', (_, change) => {
    expect(() => linePlot({ ...plot, ...change })).toThrow(RangeError)
  })
})
