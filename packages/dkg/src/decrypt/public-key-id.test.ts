import { describe, expect, it } from 'vitest'
import { KmsError } from '../errors.ts'
import { decodePublicKeyId, formatPublicKeyId, MAX_PUBLIC_KEY_ID_BYTES, parsePublicKeyId } from './public-key-id.ts'

const hex64 = '0123456789abcdef'.repeat(4)
const hex40 = '0123456789abcdef0123456789abcdef01234567'

describe('publicKeyId', () => {
  it.each([`ed25519:${hex64}`, `eip712:0x${hex40}`, `session:${hex64}`, 'none'])('has one spelling: %s', (text) => {
    expect(formatPublicKeyId(parsePublicKeyId(text))).toBe(text)
    expect(decodePublicKeyId(new TextEncoder().encode(text))).toBe(text)
    expect(text.length).toBeLessThanOrEqual(MAX_PUBLIC_KEY_ID_BYTES)
  })

  it.each([
    '',
    'NONE',
    'none ',
    'none\n',
    `ed25519:${hex64.toUpperCase()}`,
    `ed25519:${hex64}0`,
    `ed25519:0x${hex64}`,
    `eip712:${hex40}`,
    `eip712:0x${hex40.toUpperCase()}`,
    `session:${hex40}`,
    `rsa:${hex64}`,
    ` ed25519:${hex64}`,
  ])('refuses %j', (text) => {
    expect(() => parsePublicKeyId(text)).toThrow(KmsError)
  })

  it('refuses bytes above ASCII', () => {
    expect(() => decodePublicKeyId(Uint8Array.of(0x6e, 0x6f, 0x6e, 0xe5))).toThrow(KmsError)
  })
})
