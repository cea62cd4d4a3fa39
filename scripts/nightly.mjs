// The long forms of what CI runs short, in a row: a failure keeps none of the others from running. The last line adds all closing lines
// up, "N passed, N failed"; a command without one counts as one, by its exit code.
import { spawn } from 'node:child_process'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const bin = (name) => join(root, 'node_modules/.bin', name)
const CLOSING_LINE = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/gm
/** Of the end of what a command prints, in characters: its closing line is there. */
const KEPT = 64 * 1024

const steps = [
  { name: 'adversaries', command: 'npm', args: ['run', '--silent', 'sim', '--', '--runs', '104000', '--real', '4000'] },
  { name: 'fuzz', command: 'npm', args: ['run', '--silent', 'fuzz', '--', '--cases', '1000000'] },
  {
    name: 'killed processes',
    command: bin('vitest'),
    args: ['run', '--project', 'slow', 'test/e2e/kill.slow.test.ts'],
    environment: { TKMS_KILL_ROUNDS: '10' },
  },
  { name: 'empty machine', command: 'npm', args: ['run', '--silent', 'test:vm'] },
  { name: 'alerts', command: 'npm', args: ['run', '--silent', 'test:alerts', '--', '--minutes', '10'] },
  // Ten minutes of warm-up, then an hour.
  { name: 'soak', command: 'npm', args: ['run', '--silent', 'test:soak', '--', '--minutes', '70'] },
]

/** @returns its exit code and the end of what it printed, all of which is shown as it comes */
function run(command, args, environment) {
  return new Promise((done) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let end = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      process.stdout.write(text)
      end = (end + text).slice(-KEPT)
    })
    child.once('error', (cause) => done({ code: cause.message, end }))
    child.once('close', (code, signal) => done({ code: code ?? signal, end }))
  })
}

const sum = { passed: 0, failed: 0, skipped: 0 }
for (const { name, command, args, environment } of steps) {
  console.log(`\n== ${name}`)
  const startMs = performance.now()
  const { code, end } = await run(command, args, environment)
  const [, passed = code === 0 ? 1 : 0, failed = 0, skipped = 0] = [...end.matchAll(CLOSING_LINE)].at(-1) ?? []
  sum.passed += Number(passed)
  sum.failed += code === 0 ? Number(failed) : Math.max(1, Number(failed))
  sum.skipped += Number(skipped)
  console.log(
    `== ${name}: ${code === 0 ? 'ended' : `exit ${code}`} after ${Math.round((performance.now() - startMs) / 60_000)} min`,
  )
}
console.log(`\n${sum.passed} passed, ${sum.failed} failed${sum.skipped === 0 ? '' : `, ${sum.skipped} skipped`}`)
process.exitCode = sum.failed === 0 ? 0 : 1
