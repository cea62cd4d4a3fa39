/** What a ratio must satisfy; the bound itself does. */
export type Bound = { readonly atMost: number } | { readonly atLeast: number }

/** One figure. */
export interface Row {
  /** Distinct within its part, for example "node answer, batch of 256, per item". */
  readonly name: string
  readonly value: number
  /** Of `value` and `floor`: "us", "ms", "/s", "MiB". */
  readonly unit: string
  /** The least that the same work can take, measured in the same run; of a rate, the most there can be. Null where there is none. */
  readonly floor: number | null
  /** `value` to `floor`, in one run. */
  readonly ratio: number | null
  /** What must hold for `ratio`. */
  readonly bound?: Bound
}

/** A line chart. */
export interface Plot {
  /** Name of the SVG file without its ending, kebab-case and distinct among all parts. */
  readonly file: string
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  /** At most six, each with its points in the order of x. */
  readonly series: readonly Series[]
}

export interface Axis {
  /** With the unit. */
  readonly label: string
  /** Default: linear, from zero. */
  readonly scale?: 'linear' | 'log'
}

export interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

/** What one part of the bench measured. */
export interface PartResult {
  readonly rows: readonly Row[]
  readonly plots?: readonly Plot[]
  /** Objects for the JSON of `--json` beside the rows, by name; those of several parts under one name become one object. */
  readonly details?: Readonly<Record<string, unknown>>
}

/** A part of the bench that can run alone. */
export interface Part {
  /** What `--only` takes. */
  readonly name: string
  /** The heading of its table. */
  readonly title: string
  run(options: PartOptions): Promise<PartResult> | PartResult
}

export interface PartOptions {
  /** Fewer rounds: to see that it works, not to publish. */
  readonly quick: boolean
  /** Progress, for people. */
  readonly log: (line: string) => void
}

/**
 * One figure with its ratio. What cannot be measured on this machine (null) is no row.
 * @param figure.ratio where it is better known than by dividing, as the middle of the rounds' own ratios
 */
export function rowOf(figure: {
  readonly name: string
  readonly value: number | null
  readonly unit: string
  readonly floor?: number | null
  readonly ratio?: number | null
  readonly bound?: Bound
}): Row[] {
  const { name, value, unit, floor = null, bound } = figure
  if (value === null) return []
  const ratio = figure.ratio ?? (floor === null ? null : value / floor)
  const [shown, least, share] = [value, floor, ratio].map((number) => (number === null ? null : significant(number)))
  return [
    {
      name,
      value: shown ?? 0,
      unit,
      floor: least ?? null,
      ratio: share ?? null,
      ...(bound === undefined ? {} : { bound }),
    },
  ]
}

/** Undefined where nothing has to hold. */
export function holds({ ratio, bound }: Pick<Row, 'ratio' | 'bound'>): boolean | undefined {
  if (bound === undefined || ratio === null) return undefined
  return 'atMost' in bound ? ratio <= bound.atMost : ratio >= bound.atLeast
}

/** Four digits are more than any of these measurements repeats. */
const significant = (value: number): number => Number(value.toPrecision(4))
