import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { acquireLock } from './lock.ts'

it('holds the directory against another process, and is gone with a process that is killed', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-lock-'))
  const path = join(directory, 'lock')
  const module = new URL('./lock.ts', import.meta.url).href
  // What nobody keeps may be collected: the lock must hold all the same.
  const program = `const { acquireLock } = await import(${JSON.stringify(module)}); acquireLock(${JSON.stringify(path)}); gc(); setTimeout(() => { gc(); console.log('held') }, 1); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--expose-gc', '--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    await once(child.stdout, 'data')
    expect(() => acquireLock(path)).toThrow(expect.objectContaining({ code: 'store-locked', retryable: true }))
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  } finally {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  const lock = acquireLock(path)
  expect(() => acquireLock(path)).toThrow(expect.objectContaining({ code: 'store-locked' }))
  lock.release()
  lock.release()
  acquireLock(path).release()
  await rm(directory, { recursive: true })
})
