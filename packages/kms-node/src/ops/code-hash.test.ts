import { execFileSync } from 'node:child_process'
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesToHex } from '@noble/hashes/utils.js'
import { expect, it, onTestFinished } from 'vitest'
import { measureCode } from './code-hash.ts'

const hashOf = async (directory: string): Promise<string> =>
  bytesToHex((await measureCode(directory))?.code ?? new Uint8Array(0))

it('is what sha256sum says of the programs, and changes with each of their bytes', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-code-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  expect(await measureCode(directory)).toBeUndefined()
  for (const name of ['kms-node.js', 'utils-B.js', 'utils-a.js']) await writeFile(join(directory, name), `// ${name}\n`)
  await writeFile(join(directory, 'notes.txt'), 'no program')
  const before = await hashOf(directory)
  const shell = execFileSync('sh', ['-c', 'sha256sum *.js | LC_ALL=C sort -k2 | sha256sum'], { cwd: directory })
  expect(shell.toString()).toBe(`${before}  -\n`)
  await appendFile(join(directory, 'utils-a.js'), ' ')
  expect(await hashOf(directory)).not.toBe(before)
})
