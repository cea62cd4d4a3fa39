import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { expect, test } from 'vitest'
import { parseImportedKey } from './import-key.ts'

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
const scalarOf = (key: KeyObject): string =>
  Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url').toString('hex')
const hex = scalarOf(privateKey)
const pem = (type: 'sec1' | 'pkcs8'): Buffer => Buffer.from(privateKey.export({ format: 'pem', type }))
const der = (type: 'sec1' | 'pkcs8'): Buffer => privateKey.export({ format: 'der', type })
const read = (bytes: Uint8Array): string => parseImportedKey(bytes).use((key) => Buffer.from(key).toString('hex'))

test.each([
  ['hex', Buffer.from(hex)],
  ['hex with 0x and a line end', Buffer.from(`0x${hex}\n`)],
  ['upper-case hex', Buffer.from(` ${hex.toUpperCase()}\r\n`)],
  ['raw bytes', Buffer.from(hex, 'hex')],
  ['SEC1 PEM', pem('sec1')],
  ['PKCS#8 PEM', pem('pkcs8')],
  ['SEC1 DER', der('sec1')],
  ['PKCS#8 DER', der('pkcs8')],
])('an existing key is read from %s', (_name, bytes) => {
  expect(read(bytes)).toBe(hex)
})

test('what was read is wiped, also when it is refused', () => {
  for (const text of [hex, `${hex}00`]) {
    const bytes = new TextEncoder().encode(text)
    try {
      parseImportedKey(bytes).destroy()
    } catch {
      // The second one is too long.
    }
    expect(bytes.every((byte) => byte === 0)).toBe(true)
  }
})

const otherCurve = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const encrypted = createPrivateKey(pem('pkcs8')).export({
  format: 'pem',
  type: 'pkcs8',
  cipher: 'aes-256-cbc',
  passphrase: 'secret',
})

test.each([
  ['nothing', Buffer.alloc(0)],
  ['half a key in hex', Buffer.from(hex.slice(32))],
  ['too many digits', Buffer.from(`${hex}00`)],
  ['a key of another curve', Buffer.from(otherCurve.export({ format: 'pem', type: 'pkcs8' }))],
  ['an encrypted key', Buffer.from(encrypted)],
  ['text', Buffer.from('not a key')],
])('%s is refused', (_name, bytes) => {
  expect(() => read(bytes)).toThrow(expect.objectContaining({ code: 'bad-key-file' }))
})
