import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { replaceFile } from './files.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-files-'))
})
afterEach(() => rm(directory, { recursive: true }))

test('writers that replace one file at the same time leave one of their contents, whole, and nothing beside it', async () => {
  const path = join(directory, 'file')
  const contents = Array.from({ length: 8 }, (_, at) => String(at).repeat(100_000 + at))
  await Promise.all(contents.map((text) => replaceFile(path, text)))
  expect(contents).toContain(await readFile(path, 'utf8'))
  expect(await readdir(directory)).toEqual(['file'])
})

test('a write that fails leaves nothing behind', async () => {
  const target = join(directory, 'a-directory')
  await mkdir(target)
  await expect(replaceFile(target, 'a file cannot take its place')).rejects.toMatchObject({ code: 'EISDIR' })
  expect(await readdir(directory)).toEqual(['a-directory'])
})
