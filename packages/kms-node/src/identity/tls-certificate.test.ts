import { createPrivateKey, X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { createTlsIdentity } from './tls-certificate.ts'

const NOW_MS = Date.UTC(2026, 0, 1)

test.each([
  ['zeros', new Uint8Array(16), '40000000000000000000000000000000'],
  ['a zero, then a byte below 0x80', Uint8Array.of(0, 1, ...new Uint8Array(14)), '40010000000000000000000000000000'],
  ['ones', new Uint8Array(16).fill(255), '7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF'],
])(
  'a serial number drawn as %s is positive and minimal, so that OpenSSL reads the certificate',
  async (_what, serial, expected) => {
    const { key, cert } = await createTlsIdentity('node-1', ['localhost', '127.0.0.1'], NOW_MS, serial)
    expect(new X509Certificate(cert).serialNumber).toBe(expected)
    key.destroy()
  },
)

test('a certificate names its hosts, serves TLS only, and is signed by the key that it certifies', async () => {
  const { key, cert } = await createTlsIdentity('node-1', ['kms.example.org', '10.1.2.3', '2001:db8::1'], NOW_MS)
  const read = new X509Certificate(cert)
  expect(read.subject).toBe('CN=node-1')
  expect(read.checkHost('kms.example.org')).toBe('kms.example.org')
  expect(read.checkIP('10.1.2.3')).toBe('10.1.2.3')
  expect(read.checkIP('2001:db8::1')).toBe('2001:db8::1')
  expect(read.checkIP('10.1.2.4')).toBeUndefined()
  expect(read.ca).toBe(false)
  expect(read.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
  expect(read.validFromDate.getTime()).toBe(NOW_MS - 3_600_000)
  expect(read.validToDate).toEqual(new Date(Date.UTC(2036, 0, 1)))
  expect(read.verify(read.publicKey)).toBe(true)
  expect(key.use((pem) => read.checkPrivateKey(createPrivateKey(Buffer.from(pem))))).toBe(true)
  key.destroy()
})
