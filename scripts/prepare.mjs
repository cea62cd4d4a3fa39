// Installs and builds when something changed since the last time, in milliseconds when nothing did; all noise goes to stderr.
// Runs on any Node that npm came with: the right one may not be installed yet.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const stampFile = join(root, 'node_modules/.tkms-build')
const built = ['packages', 'proto'].map((name) => join(root, name))
const configuration = ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', 'tsconfig.base.json', 'tsconfig.json']
const SOURCE = /\.(ts|json|proto)$/
const SKIPPED = new Set(['node_modules', 'dist', 'gen'])

function* sourceFiles(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true }))
    if (entry.isDirectory()) {
      if (!SKIPPED.has(entry.name)) yield* sourceFiles(join(folder, entry.name))
    } else if (SOURCE.test(entry.name)) yield join(folder, entry.name)
}

/** Changes whenever a file that the build reads is added, removed or written. */
function fingerprint() {
  let newestMs = 0
  let count = 0
  for (const path of [
    ...configuration.map((name) => join(root, name)),
    ...built.flatMap((folder) => [...sourceFiles(folder)]),
  ]) {
    newestMs = Math.max(newestMs, statSync(path).mtimeMs)
    count += 1
  }
  return `${count} ${newestMs}`
}

function npmRun(script) {
  const { status } = spawnSync('npm', ['run', '--silent', script], { cwd: root, stdio: ['ignore', 2, 2] })
  if (status !== 0) process.exit(status ?? 1)
}

const wanted = fingerprint()
if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== wanted) {
  npmRun('setup')
  npmRun('build')
  writeFileSync(stampFile, wanted)
}
