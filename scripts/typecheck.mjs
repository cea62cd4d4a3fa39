// Type-checks what `tsc -b` does not build: tests beside the sources, test/, bench/, examples/ and scripts/.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const projects = [
  ...['dkg', 'curve-native', 'kms-node', 'kms-client'].map((name) => `packages/${name}/tsconfig.test.json`),
  'test',
  'bench',
  'examples',
  'scripts',
]
const compiler = join(root, 'node_modules/typescript/bin/tsc')
const { status } = spawnSync(process.execPath, [compiler, '-b', ...projects], { cwd: root, stdio: 'inherit' })
process.exitCode = status ?? 1
