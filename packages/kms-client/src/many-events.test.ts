import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import { decryptMany, type ManyPorts } from './decrypt-many.ts'

/** Work without nodes: an envelope is a number, its plaintext that many bytes. */
const ports: ManyPorts<number, number> = {
  prepare: (envelope) => Promise.resolve(envelope),
  groupOf: () => 'one',
  decryptTogether: (prepared) => Promise.resolve(prepared.map((length) => new Uint8Array(length))),
  decryptAlone: (length) => Promise.resolve(new Uint8Array(length)),
}
const options = { concurrency: 4, signal: undefined }

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

it('keeps nothing of what was taken while the rest goes on', async () => {
  const taken: WeakRef<Uint8Array>[] = []
  const held = async (): Promise<number> => {
    await new Promise((resolve) => setTimeout(resolve, 0))
    collectGarbage()
    return taken.filter((plaintext) => plaintext.deref() !== undefined).length
  }
  const lengths = Array.from({ length: 200 }, (_, at) => at + 1)
  let most = 0
  for await (const outcome of decryptMany(lengths, { ...ports, ...options })) {
    if (!outcome.ok) throw outcome.error
    taken.push(new WeakRef(outcome.plaintext))
    if (taken.length % 50 === 0) most = Math.max(most, await held())
  }
  expect(taken).toHaveLength(200)
  // What is under way, and what this loop has in its hands.
  expect(most).toBeLessThan(20)
})

it('ends the loop with what is no item of its own to blame, also while its consumer is busy', async () => {
  const unhandled: unknown[] = []
  const note = (reason: unknown): number => unhandled.push(reason)
  process.on('unhandledRejection', note)
  try {
    const broken: ManyPorts<number, number> = {
      ...ports,
      decryptTogether: (prepared) =>
        Promise.resolve(prepared.map((length, at) => (at === 0 ? { refusedBy: [] } : new Uint8Array(length)))),
      decryptAlone: () => Promise.reject(new RangeError('the wallet is gone')),
    }
    const loop = async (): Promise<void> => {
      for await (const { ok } of decryptMany([1, 2], { ...broken, ...options })) {
        expect(ok).toBe(true)
        await new Promise((resolve) => setTimeout(resolve, 30))
      }
    }
    await expect(loop()).rejects.toThrow('the wallet is gone')
    expect(unhandled).toEqual([])
  } finally {
    process.off('unhandledRejection', note)
  }
})

it('throws what reading the input throws', async () => {
  const input = function* (): Generator<number> {
    yield 1
    throw new RangeError('no more')
  }
  const lengths: number[] = []
  const loop = async (): Promise<void> => {
    for await (const outcome of decryptMany(input(), { ...ports, ...options }))
      if (outcome.ok) lengths.push(outcome.plaintext.length)
  }
  await expect(loop()).rejects.toThrow('no more')
})
