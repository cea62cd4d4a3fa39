import crypto from 'node:crypto'
import { Secret } from '@tkms/dkg'
import { expect, it, vi } from 'vitest'
import { counterAuth } from './counter-auth.ts'

vi.mock(import('node:crypto'), async (load) => {
  const real = await load()
  return { ...real, hkdfSync: vi.fn(real.hkdfSync) }
})

it('is what stores were made with, and nothing of it is left in the derived bytes', async () => {
  const { hkdfSync } = vi.mocked(await import('node:crypto'))
  const auth = counterAuth(new Secret(new Uint8Array(32).fill(7)))
  const expected = crypto.hkdfSync('sha256', new Uint8Array(32).fill(7), '', 'TKMS/1/seal/tpm2/counter', 16)
  expect(auth.use((bytes) => Buffer.from(bytes).toString())).toBe(Buffer.from(expected).toString('hex'))
  const [derived] = hkdfSync.mock.results
  expect(new Uint8Array(derived?.value as ArrayBuffer)).toEqual(new Uint8Array(16))
})
