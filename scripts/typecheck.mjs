// Type-checks what `tsc -b` does not build: tests beside the sources, test/, bench/, examples/ and scripts/.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const projects = [
  ...['dkg', 'curve-native', 'kms-node', 'kms-client'].map((name) => `packages/${name}/tsconfig.test.json`),
  'test',
  'bench',
  'examples',
  'scripts',
]
execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-b', ...projects], {
  cwd: root,
  stdio: 'inherit',
})
