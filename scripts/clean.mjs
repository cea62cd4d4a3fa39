// Removes everything the build makes (not node_modules).
import { rmSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const remove = (...parts) => rmSync(join(root, ...parts), { recursive: true, force: true })
for (const name of ['dkg', 'curve-native', 'kms-node', 'kms-client']) {
  remove('packages', name, 'dist')
  for (const project of ['tsconfig', 'tsconfig.node', 'tsconfig.test'])
    remove('packages', name, `${project}.tsbuildinfo`)
}
for (const name of ['test', 'bench', 'examples', 'scripts']) remove(name, 'tsconfig.tsbuildinfo')
remove('proto/gen')
remove('node_modules/.tkms-build')
