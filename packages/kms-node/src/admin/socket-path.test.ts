import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findSocket, placeSocket } from './socket-path.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-socket-'))
})
afterEach(() => rm(directory, { recursive: true }))

test('a file where the admin socket should go is left as it is', async () => {
  const path = join(directory, 'policy.yaml')
  await writeFile(path, 'version: 1')
  await expect(placeSocket(directory, path)).rejects.toMatchObject({ code: 'socket-path-taken' })
  expect(await readFile(path, 'utf8')).toBe('version: 1')
})

test('the socket of a node that was killed is replaced', async () => {
  const path = join(directory, 'admin.sock')
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const place = await placeSocket(directory, path)
  expect([place.path, await findSocket(directory)]).toEqual([path, path])
  await place.release()
  await expect(findSocket(directory)).rejects.toMatchObject({ code: 'node-not-running' })
  await new Promise<void>((resolve) => server.close(() => resolve()))
})
