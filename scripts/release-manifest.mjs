// Prints what a release is made of, as JSON, to be published beside it: whoever runs or asks a node compares it with what the node says
// of itself in /v1/status, or builds the same commit and runs this again. Programs are the same bytes wherever they are built.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const root = join(import.meta.dirname, '..')
const sha256 = (path) => `0x${createHash('sha256').update(readFileSync(path)).digest('hex')}`
const hashesOf = (directory, extension) =>
  Object.fromEntries(
    readdirSync(directory)
      .filter((name) => name.endsWith(extension))
      .toSorted()
      .map((name) => [name, sha256(join(directory, name))]),
  )

const node = join(root, 'packages/kms-node')
const programs = join(node, 'dist/bin')
const { measureCode } = await import(join(node, 'dist/ops/code-hash.js'))
const measured = await measureCode(programs)
if (measured === undefined) throw new Error('the programs are not built: npm run --silent build')

const library = createRequire(join(root, 'packages/curve-native/package.json')).resolve('secp256k1/package.json')
const prebuilds = join(dirname(library), 'prebuilds')
const native = Object.fromEntries(
  readdirSync(prebuilds)
    .filter((platform) => statSync(join(prebuilds, platform)).isDirectory())
    .toSorted()
    .map((platform) => [platform, hashesOf(join(prebuilds, platform), '.node')]),
)

/** @returns undefined outside a clone, or without git */
function git(...args) {
  try {
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}

console.log(
  JSON.stringify(
    {
      schema: 'tkms.release.v1',
      version: JSON.parse(readFileSync(join(node, 'package.json'), 'utf8')).version,
      commit: git('rev-parse', 'HEAD') ?? null,
      modified: git('status', '--porcelain') !== '',
      lockfile: sha256(join(root, 'pnpm-lock.yaml')),
      codeHash: `0x${Buffer.from(measured.code).toString('hex')}`,
      programs: hashesOf(programs, '.js'),
      native,
    },
    undefined,
    2,
  ),
)
