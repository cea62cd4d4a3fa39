import type { Reporter, TestModule, SerializedError } from 'vitest/node'

interface Counts {
  passed: number
  failed: number
  skipped: number
}

function countModule(module: TestModule, counts: Counts): void {
  let failedHere = 0
  for (const test of module.children.allTests()) {
    const { state } = test.result()
    if (state === 'passed') counts.passed += 1
    else if (state === 'failed') failedHere += 1
    else counts.skipped += 1
  }
  // A file that cannot be loaded or whose hooks fail has no failed test of its own.
  if (module.state() === 'failed' && failedHere === 0) failedHere = 1
  counts.failed += failedHere
}

/** "N passed, N failed[, N skipped]". */
export function closingLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`
}

/** Prints the closing line as the very last line of the run, behind the summary and everything else that is printed. */
export class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const counts: Counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 }
    for (const module of modules) countModule(module, counts)
    process.once('exit', () => {
      process.stdout.write(`${closingLine(counts)}\n`)
    })
  }
}
