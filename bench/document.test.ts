import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { mergeResult, renderDocument, renderPlots, type Result, type WrittenPart } from './document.ts'
import { rowOf } from './report.ts'
import { DOCUMENT, formatResult, readResult, RESULTS } from './written.ts'

const machine = { cpu: 'Test CPU', cores: 2, node: '24.0.0', kernel: 'Linux 6.1' }
const part = (name: string, value: number): WrittenPart => ({
  name,
  title: `Part ${name}`,
  rows: rowOf({ name: 'a figure', value, unit: 'us', floor: 100, bound: { atMost: 1.5 } }),
  plots: [
    {
      file: `plot-${name}`,
      title: 'A <plot>',
      x: { label: 'load' },
      y: { label: 'ms', scale: 'log' },
      series: [
        {
          name: 'p50',
          points: [
            [0, 1],
            [50, value],
          ],
        },
      ],
    },
  ],
})
const result: Result = { machine, parts: [part('one', 123.4), part('two', 160)] }
const page =
  'before\n<!-- measured: begin. Made by `npm run --silent bench -- --write`, not by hand -->\nstale figures\n<!-- measured: end -->\nafter\n'

describe('renderDocument', () => {
  it('puts every figure with its floor, ratio and verdict between the markers, and leaves the rest', () => {
    const text = renderDocument(page, result)
    expect(text).toContain('Measured on 2 cores of Test CPU, Linux 6.1, Node 24.0.0.')
    expect(text).toContain('| a figure | 123 µs | 100 µs | 1.23 | ≤ 1.5, holds |')
    expect(text).toContain('| a figure | 160 µs | 100 µs | 1.60 | ≤ 1.5, falls short |')
    expect(text).toContain('![A <plot>](performance/plot-one.svg)')
    expect(text).not.toContain('stale')
    expect(text.startsWith('before\n<!-- measured: begin')).toBe(true)
    expect(text.endsWith('<!-- measured: end -->\nafter\n')).toBe(true)
    expect(renderDocument(text, result)).toBe(text)
  })

  it('says where figures were measured beside other programs', () => {
    const disturbed = { ...part('one', 1), others: 0.34 }
    const text = renderDocument(page, { machine, parts: [disturbed, { ...part('two', 1), others: 0.05 }] })
    expect(text.match(/Not measured alone: other programs had 34 % of the cores meanwhile\./g)).toHaveLength(1)
    expect(text.match(/Not measured alone/g)).toHaveLength(1)
  })

  it('refuses a document without markers', () => {
    expect(() => renderDocument('nothing here', result)).toThrow('no place')
  })
})

describe('mergeResult', () => {
  it('replaces the parts that were measured and keeps the others in their order', () => {
    const merged = mergeResult(result, { machine, parts: [part('one', 1)] }, ['two', 'one'])
    expect(merged.parts.map(({ name, rows }) => [name, rows[0]?.value])).toEqual([
      ['two', 160],
      ['one', 1],
    ])
  })

  it('keeps nothing of another machine', () => {
    const merged = mergeResult(result, { machine: { ...machine, cores: 8 }, parts: [part('one', 1)] }, ['one', 'two'])
    expect(merged.parts.map(({ name }) => name)).toEqual(['one'])
  })
})

describe('the committed document', () => {
  it('says what the committed result says, and so do its plots', async () => {
    const committed = await readResult()
    if (committed === undefined) throw new Error('there is a result')
    const document = await readFile(DOCUMENT, 'utf8')
    expect(document).toBe(renderDocument(document, committed))
    const plots = renderPlots(committed)
    expect((await readdir(RESULTS)).toSorted()).toEqual(['result.json', ...plots.keys()].toSorted())
    for (const [file, svg] of plots) expect(await readFile(join(RESULTS, file), 'utf8')).toBe(svg)
    expect(await readFile(join(RESULTS, 'result.json'), 'utf8')).toBe(formatResult(committed))
  })
})
