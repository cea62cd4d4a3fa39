import { type Bound, holds, type PartResult, type Row } from './report.ts'

/** Three digits, and never fewer than the integer has: 0.123, 1.23, 12.3, 123, 1,234. */
export function formatNumber(value: number): string {
  const size = Math.abs(value)
  if (size >= 1000) return Math.round(value).toLocaleString('en-US')
  if (size === 0) return '0'
  const digits = Math.max(0, 2 - Math.floor(Math.log10(size)))
  return value.toFixed(Math.min(digits, 4))
}

const UNITS: Readonly<Record<string, string>> = { us: 'µs' }

/** With its unit: "12.3 ms", "1,234/s", "0". */
export function formatValue(value: number, unit: string): string {
  const name = UNITS[unit] ?? unit
  return `${formatNumber(value)}${name === '' || name.startsWith('/') ? '' : ' '}${name}`
}

const formatBound = (bound: Bound): string => ('atMost' in bound ? `≤ ${bound.atMost}` : `≥ ${bound.atLeast}`)

/** "≤ 1.5, holds" or "≤ 1.5, falls short"; empty where nothing has to hold. */
export function formatVerdict(row: Row): string {
  const verdict = holds(row)
  if (row.bound === undefined || verdict === undefined) return ''
  return `${formatBound(row.bound)}, ${verdict ? 'holds' : 'falls short'}`
}

/** The cells of a row's line: name, value, floor, ratio, verdict. */
export const cellsOf = (row: Row): readonly string[] => [
  row.name,
  formatValue(row.value, row.unit),
  row.floor === null ? '-' : formatValue(row.floor, row.unit),
  row.ratio === null ? '-' : formatNumber(row.ratio),
  formatVerdict(row),
]

/** The figures of a part for a terminal, in columns. */
export function textTable(title: string, { rows }: Pick<PartResult, 'rows'>): string {
  const lines = [['', 'measured', 'floor', 'ratio', 'must hold'], ...rows.map(cellsOf)]
  const widths = [0, 1, 2, 3].map((at) => Math.max(...lines.map((cells) => cells[at]?.length ?? 0)))
  const body = lines.map((cells) =>
    cells
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
  return [title, ...body.map((line) => `  ${line}`)].join('\n')
}
