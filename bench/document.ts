import { linePlot } from './line-plot.ts'
import type { Part, PartResult, Plot, Row } from './report.ts'
import { cellsOf } from './text.ts'

/** Where figures were measured: no more than what explains them. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly node: string
  /** The family alone: "Linux 6.18". */
  readonly kernel: string
}

/** The content of `docs/performance/result.json`: what the document and its plots are made of. */
export interface Result {
  readonly machine: Machine
  readonly parts: readonly WrittenPart[]
}

export interface WrittenPart {
  readonly name: string
  readonly title: string
  readonly rows: readonly Row[]
  readonly plots: readonly Plot[]
  /** What other programs took of the cores' time meanwhile, 0..1; where the system says so. */
  readonly others?: number
}

const BEGIN = '<!-- measured: begin. Made by `npm run --silent bench -- --write`, not by hand -->'
const END = '<!-- measured: end -->'

/**
 * The known result with parts measured anew, in the order of `order`. Parts of another machine are not kept: a table tells of one machine.
 * @param order names of all parts there are; others are dropped
 */
export function mergeResult(
  known: Result | undefined,
  measured: { readonly machine: Machine; readonly parts: readonly WrittenPart[] },
  order: readonly string[],
): Result {
  const kept = JSON.stringify(known?.machine) === JSON.stringify(measured.machine) ? (known?.parts ?? []) : []
  const parts = new Map([...kept, ...measured.parts].map((part) => [part.name, part]))
  return { machine: measured.machine, parts: order.flatMap((name) => parts.get(name) ?? []) }
}

export const writtenPart = (
  { name, title }: Part,
  { rows, plots = [] }: PartResult,
  others: number | undefined,
): WrittenPart => ({
  name,
  title,
  rows,
  plots,
  ...(others === undefined ? {} : { others: Math.round(others * 100) / 100 }),
})

/** Below it the measurements were as good as alone: the system itself takes so much. */
const QUIET_SHARE = 0.05

/** Empty where the machine was quiet. */
export const disturbance = (others: number | undefined): string =>
  others === undefined || others <= QUIET_SHARE
    ? ''
    : `Not measured alone: other programs had ${Math.round(others * 100)} % of the cores meanwhile.`

/**
 * The document with its generated section made from the result.
 * @throws Error without both markers
 */
export function renderDocument(document: string, result: Result): string {
  const begin = document.indexOf(BEGIN)
  const end = document.indexOf(END)
  if (begin === -1 || end < begin) throw new Error(`the document has no place for what was measured: ${BEGIN}`)
  return `${document.slice(0, begin + BEGIN.length)}\n\n${renderSection(result)}\n${document.slice(end)}`
}

/** The SVG files of a result, by file name. */
export const renderPlots = ({ parts }: Result): ReadonlyMap<string, string> =>
  new Map(parts.flatMap(({ plots }) => plots.map((plot) => [`${plot.file}.svg`, linePlot(plot)])))

const renderSection = ({ machine, parts }: Result): string =>
  [
    `Measured on ${machine.cores} cores of ${machine.cpu}, ${machine.kernel}, Node ${machine.node}.\n`,
    ...parts.map(renderPart),
  ].join('\n')

const renderPart = ({ title, rows, plots, others }: WrittenPart): string =>
  [
    `### ${title}`,
    '',
    '| figure | measured | floor | ratio | must hold |',
    '|---|--:|--:|--:|---|',
    ...rows.map((row) => `| ${cellsOf(row).join(' | ')} |`.replaceAll('|  |', '| |')),
    '',
    ...[disturbance(others)].flatMap((line) => (line === '' ? [] : [line, ''])),
    ...plots.flatMap(({ file, title: caption }) => [`![${caption}](performance/${file}.svg)`, '']),
  ].join('\n')
