// Generates the wire code, then compiles every package and bundles the programs. Quick when nothing changed.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const run = (bin, args) => {
  const { status } = spawnSync(process.execPath, [join(root, 'node_modules', bin), ...args], {
    cwd: root,
    stdio: 'inherit',
  })
  if (status !== 0) process.exit(status ?? 1)
}

const schemaDir = join(root, 'proto/tkms/v1')
const schemas = readdirSync(schemaDir)
  .filter((name) => name.endsWith('.proto'))
  .map((name) => join(schemaDir, name))
const generated = join(root, 'proto/gen/tkms.js')
const newest = Math.max(...schemas.map((path) => statSync(path).mtimeMs))
if (!existsSync(generated) || statSync(generated).mtimeMs < newest) {
  mkdirSync(join(root, 'proto/gen'), { recursive: true })
  const lean = ['--no-verify', '--no-convert', '--no-delimited', '--no-typeurl', '--no-service']
  run('protobufjs-cli/bin/pbjs', [
    '-t',
    'static-module',
    '-w',
    'es6',
    '--es6',
    '--dts',
    ...lean,
    '-o',
    generated,
    ...schemas,
  ])
}
run('typescript/bin/tsc', ['-b', ...process.argv.slice(2)])
await import('./bundle.mjs')
