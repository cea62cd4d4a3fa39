import type { Axis, Plot, Series } from './report.ts'
import { formatNumber } from './text.ts'

const WIDTH = 720
const HEIGHT = 420
const AREA = { left: 74, right: WIDTH - 24, top: 78, bottom: HEIGHT - 58 }
const MARKS = ['circle', 'square', 'diamond', 'triangle', 'circle', 'square'] as const
const DASHES = ['', '7 4', '2 4', '10 3 2 3', '4 2', '1 3']

/** Colours that stay apart for the colour-blind, chosen anew for a dark page. */
const STYLE = `
  svg { font: 13px system-ui, sans-serif }
  .page { fill: #ffffff } .ink { fill: #1f2328 } .faint { fill: #59636e } .grid { stroke: #d1d9e0 } .axis { stroke: #59636e }
  .s0 { --c: #0072b2 } .s1 { --c: #c04a00 } .s2 { --c: #007a58 } .s3 { --c: #a8457f } .s4 { --c: #6b5b00 } .s5 { --c: #444c56 }
  .line { fill: none; stroke: var(--c); stroke-width: 2 } .mark { fill: var(--c) }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } .ink { fill: #f0f6fc } .faint { fill: #9198a1 } .grid { stroke: #3d444d } .axis { stroke: #9198a1 }
    .s0 { --c: #56b4e9 } .s1 { --c: #ff9e4a } .s2 { --c: #3ddbaa } .s3 { --c: #f2a0cf } .s4 { --c: #f0e442 } .s5 { --c: #b0b8c0 }
  }`

interface Scale {
  readonly ticks: readonly number[]
  /** The place of a value, in pixels. */
  at(value: number): number
}

/**
 * The plot as an SVG file, readable on a light and on a dark page.
 * @throws RangeError without points, with more than six series, or with a point that the scale of its axis does not have
 */
export function linePlot({ title, x, y, series }: Plot): string {
  if (series.length > MARKS.length) throw new RangeError('a plot has at most six series')
  const points = series.flatMap((each) => each.points)
  const across = scaleOf(
    x,
    points.map(([value]) => value),
    [AREA.left, AREA.right],
  )
  const up = scaleOf(
    y,
    points.map(([, value]) => value),
    [AREA.bottom, AREA.top],
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeXml(title)}">`,
    `<style>${STYLE}\n</style>`,
    `<rect class="page" width="${WIDTH}" height="${HEIGHT}" rx="6"/>`,
    text({ at: [AREA.left, 26], content: title, kind: 'ink', extra: 'font-size="16" font-weight="600"' }),
    ...axes({ x, y }, across, up),
    ...series.map((each, at) => drawSeries(each, at, { across, up })),
    ...legend(series),
    '</svg>',
    '',
  ].join('\n')
}

function axes({ x, y }: Pick<Plot, 'x' | 'y'>, across: Scale, up: Scale): readonly string[] {
  const middle = (AREA.top + AREA.bottom) / 2
  return [
    ...up.ticks.flatMap((value) => [
      `<path class="grid" d="M${AREA.left} ${px(up.at(value))}H${AREA.right}"/>`,
      text({ at: [AREA.left - 8, up.at(value) + 4], content: label(value), anchor: 'end' }),
    ]),
    ...across.ticks.flatMap((value) => [
      `<path class="axis" d="M${px(across.at(value))} ${AREA.bottom}v5"/>`,
      text({ at: [across.at(value), AREA.bottom + 20], content: label(value), anchor: 'middle' }),
    ]),
    `<path class="axis" d="M${AREA.left} ${AREA.bottom}H${AREA.right}"/>`,
    text({ at: [(AREA.left + AREA.right) / 2, HEIGHT - 14], content: x.label, anchor: 'middle' }),
    text({ at: [18, middle], content: y.label, anchor: 'middle', extra: `transform="rotate(-90 18 ${middle})"` }),
  ]
}

function drawSeries(
  { points }: Series,
  at: number,
  { across, up }: { readonly across: Scale; readonly up: Scale },
): string {
  const places = points.map(([x, y]) => [across.at(x), up.at(y)] as const)
  const path = places.map(([x, y], first) => `${first === 0 ? 'M' : 'L'}${px(x)} ${px(y)}`).join('')
  const marks = places.map(([x, y]) => mark(at, x, y)).join('')
  return `<g class="s${at}"><path class="line" stroke-dasharray="${DASHES[at] ?? ''}" d="${path}"/>${marks}</g>`
}

/** In rows of three under the title. */
const legend = (series: readonly Series[]): readonly string[] =>
  series.map(({ name }, at) => {
    const x = AREA.left + (at % 3) * 210
    const y = 46 + Math.floor(at / 3) * 18
    const sample = `<path class="line" stroke-dasharray="${DASHES[at] ?? ''}" d="M${x} ${y}h28"/>${mark(at, x + 14, y)}`
    return `<g class="s${at}">${sample}</g>${text({ at: [x + 36, y + 4], content: name, kind: 'ink' })}`
  })

function mark(at: number, x: number, y: number): string {
  const shape = MARKS[at] ?? 'circle'
  if (shape === 'circle') return `<circle class="mark" cx="${px(x)}" cy="${px(y)}" r="4"/>`
  const outline = {
    square: 'm-4 -4h8v8h-8z',
    diamond: 'm0 -5.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z',
    triangle: 'm0 -5l5 9h-10z',
  }
  return `<path class="mark" d="M${px(x)} ${px(y)}${outline[shape]}"/>`
}

function text(options: {
  readonly at: readonly [x: number, y: number]
  readonly content: string
  readonly kind?: 'ink' | 'faint'
  readonly anchor?: 'middle' | 'end'
  readonly extra?: string
}): string {
  const { at, content, kind = 'faint', anchor, extra = '' } = options
  const [x, y] = at
  const where = `x="${px(x)}" y="${px(y)}"${anchor === undefined ? '' : ` text-anchor="${anchor}"`}`
  return `<text class="${kind}" ${where}${extra === '' ? '' : ` ${extra}`}>${escapeXml(content)}</text>`
}

function scaleOf(
  { label: name, scale }: Axis,
  values: readonly number[],
  [from, to]: readonly [number, number],
): Scale {
  if (values.length === 0) throw new RangeError('a plot has points')
  const isLog = scale === 'log'
  const bad = values.find((value) => !Number.isFinite(value) || (isLog ? value <= 0 : value < 0))
  if (bad !== undefined) throw new RangeError(`${bad} has no place on the axis "${name}"`)
  const ticks = isLog ? logTicks(Math.min(...values), Math.max(...values)) : linearTicks(Math.max(...values))
  const position = isLog ? Math.log10 : (value: number): number => value
  const low = position(ticks[0] ?? 0)
  const high = position(ticks.at(-1) ?? 1)
  return { ticks, at: (value) => from + ((position(value) - low) / (high - low)) * (to - from) }
}

/** From zero to at least `max` in four to ten steps of 1, 2 or 5 times a power of ten. */
function linearTicks(max: number): readonly number[] {
  const rough = (max || 1) / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10) * power
  return Array.from({ length: Math.ceil((max || 1) / step) + 1 }, (_, at) => at * step)
}

/** The powers of ten around the values, with 2 and 5 times each. */
function logTicks(min: number, max: number): readonly number[] {
  const first = Math.floor(Math.log10(min))
  const last = Math.ceil(Math.log10(max))
  const all = Array.from({ length: last - first + 1 }, (_, at) => 10 ** (first + at)).flatMap((power) =>
    [1, 2, 5].map((factor) => factor * power),
  )
  const below = all.findLastIndex((tick) => tick <= min)
  const above = all.findIndex((tick) => tick >= max)
  const ticks = all.slice(Math.max(0, below), above + 1)
  return ticks.length > 1 ? ticks : all.slice(Math.max(0, below), above + 2)
}

/** Without what floating point adds. */
const label = (value: number): string => {
  const exact = Number(value.toPrecision(6))
  return exact >= 1000 ? formatNumber(exact) : `${exact}`
}

const px = (value: number): string => `${Math.round(value * 10) / 10}`

const escapeXml = (value: string): string =>
  value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
