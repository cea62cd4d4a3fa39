import { createRequesterKey } from '@tkms/kms-client'
import { expect, it } from 'vitest'
import { createRenewingKey } from './renewing-key.ts'

const seal = async (spki: Uint8Array): Promise<Uint8Array> => {
  const algorithm = { name: 'RSA-OAEP', hash: 'SHA-256' }
  const key = await crypto.subtle.importKey('spki', Uint8Array.from(spki), algorithm, false, ['encrypt'])
  return new Uint8Array(await crypto.subtle.encrypt('RSA-OAEP', key, Uint8Array.of(1, 2, 3)))
}

it('opens what was boxed to the key before, and nothing older', async () => {
  const key = await createRenewingKey()
  const first = { spki: key.spki, box: await seal(key.spki) }
  await key.renew()
  expect(key.spki).not.toEqual(first.spki)
  expect(await key.unwrap(first.box)).toEqual(Uint8Array.of(1, 2, 3))
  expect(await key.unwrap(await seal(key.spki))).toEqual(Uint8Array.of(1, 2, 3))
  await key.renew()
  expect(await key.unwrap(first.box)).toBeUndefined()
})

it('keeps its key when no new one can be made', async () => {
  let fail = false
  const key = await createRenewingKey(() => (fail ? Promise.reject(new Error('no entropy')) : createRequesterKey()))
  const { spki } = key
  fail = true
  await expect(key.renew()).rejects.toThrow('no entropy')
  expect(key.spki).toEqual(spki)
  expect(await key.unwrap(await seal(spki))).toEqual(Uint8Array.of(1, 2, 3))
})
