import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Machine, mergeResult, renderDocument, renderPlots, type Result, type WrittenPart } from './document.ts'

const DOCS = join(import.meta.dirname, '../docs')

/** The document that people read; what stands between its markers is generated. */
export const DOCUMENT = join(DOCS, 'performance.md')
/** The plots and the result they are made of. */
export const RESULTS = join(DOCS, 'performance')
const RESULT_FILE = join(RESULTS, 'result.json')

/** What was written last; undefined where nothing was. */
export async function readResult(): Promise<Result | undefined> {
  try {
    return JSON.parse(await readFile(RESULT_FILE, 'utf8')) as Result
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw cause
  }
}

/** Merges what was measured into the result file, then makes the plots and the generated section of the document from it. */
export async function writeResult(
  measured: { readonly machine: Machine; readonly parts: readonly WrittenPart[] },
  order: readonly string[],
): Promise<void> {
  const result = mergeResult(await readResult(), measured, order)
  const document = renderDocument(await readFile(DOCUMENT, 'utf8'), result)
  await mkdir(RESULTS, { recursive: true })
  await writeFile(RESULT_FILE, formatResult(result))
  for (const [file, svg] of renderPlots(result)) await writeFile(join(RESULTS, file), svg)
  await writeFile(DOCUMENT, document)
}

/** One row or series a line, so that a change is easy to read. */
export function formatResult({ machine, parts }: Result): string {
  const lines = (values: readonly unknown[]): string =>
    values.length === 0 ? '[]' : `[\n${values.map((value) => `        ${JSON.stringify(value)}`).join(',\n')}\n      ]`
  const written = parts.map(
    ({ name, title, rows, plots, others }) =>
      `    {\n      "name": ${JSON.stringify(name)},\n      "title": ${JSON.stringify(title)},\n` +
      (others === undefined ? '' : `      "others": ${others},\n`) +
      `      "rows": ${lines(rows)},\n      "plots": ${lines(plots)}\n    }`,
  )
  return `{\n  "machine": ${JSON.stringify(machine)},\n  "parts": [\n${written.join(',\n')}\n  ]\n}\n`
}
