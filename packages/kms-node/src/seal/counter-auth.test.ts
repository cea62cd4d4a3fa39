import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { Secret } from '@tkms/dkg'
import { expect, it, onTestFinished, vi } from 'vitest'
import { counterAuth } from './counter-auth.ts'

it('is what stores were made with, and nothing of it is left in the derived bytes', () => {
  const expected = crypto.hkdfSync('sha256', new Uint8Array(32).fill(7), '', 'TKMS/1/seal/tpm2/counter', 16)
  const hkdfSync = vi.spyOn(crypto, 'hkdfSync')
  onTestFinished(() => {
    hkdfSync.mockRestore()
    syncBuiltinESMExports()
  })
  syncBuiltinESMExports()
  const auth = counterAuth(new Secret(new Uint8Array(32).fill(7)))
  expect(auth.use((bytes) => Buffer.from(bytes).toString())).toBe(Buffer.from(expected).toString('hex'))
  const [derived] = hkdfSync.mock.results
  expect(new Uint8Array(derived?.value as ArrayBuffer)).toEqual(new Uint8Array(16))
})
