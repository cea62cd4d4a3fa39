import { X509Certificate } from 'node:crypto'
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
