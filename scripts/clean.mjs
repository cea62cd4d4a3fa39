// Removes everything the build makes (not node_modules).
import { rmSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
for (const name of ['dkg', 'curve-native', 'kms-node', 'kms-client'])
  rmSync(join(root, 'packages', name, 'dist'), { recursive: true, force: true })
rmSync(join(root, 'proto/gen'), { recursive: true, force: true })
