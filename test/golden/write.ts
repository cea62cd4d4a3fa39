import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatDocument, goldenDocuments } from './documents.ts'

const folder = join(import.meta.dirname, 'vectors')
mkdirSync(folder, { recursive: true })
for (const [name, document] of goldenDocuments()) {
  writeFileSync(join(folder, name), formatDocument(document))
  process.stdout.write(`test/golden/vectors/${name}\n`)
}
