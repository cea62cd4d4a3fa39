import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { u64, varBytes } from '../primitives/codec.ts'
import {
  decodeNoxAuthorization,
  encodeNoxAuthorization,
  isNoxAuthorization,
  type NoxAuthorization,
  noxHexBytes,
} from './nox-authorization.ts'

const signature = new Uint8Array(65).fill(7)
const ephemeralPubKey = `0x02${'aB'.repeat(32)}`
const targetPubKey = `0x${'30'.repeat(294)}`
const gateway: NoxAuthorization = { chainId: 421_614, ephemeralPubKey, targetPubKey, signature }
const user = {
  address: new Uint8Array(20).fill(9),
  encryptionPubKey: targetPubKey.toUpperCase().replace('0X', '0x'),
  notBefore: 1_800_000_000,
  expiresAt: 1_800_003_600,
  signature: new Uint8Array(131).fill(8),
}

describe('Nox authorization', () => {
  it('has one layout, in which the texts stand as they were sent', () => {
    const text = (value: string): Uint8Array => varBytes(utf8ToBytes(value))
    const head = [Uint8Array.of(0x4e, 1), u64(421_614), text(ephemeralPubKey), text(targetPubKey), varBytes(signature)]
    expect(encodeNoxAuthorization(gateway)).toEqual(concatBytes(...head, Uint8Array.of(0)))
    expect(encodeNoxAuthorization({ ...gateway, user })).toEqual(
      concatBytes(
        ...head,
        Uint8Array.of(1),
        user.address,
        text(user.encryptionPubKey),
        u64(user.notBefore),
        u64(user.expiresAt),
        varBytes(user.signature),
      ),
    )
  })

  it.each([gateway, { ...gateway, user }, { ...gateway, ephemeralPubKey: ephemeralPubKey.slice(2) }])(
    'reads back what it wrote',
    (authorization) => {
      const bytes = encodeNoxAuthorization(authorization)
      expect(isNoxAuthorization(bytes)).toBe(true)
      expect(decodeNoxAuthorization(bytes)).toEqual(authorization)
      expect(noxHexBytes(authorization.ephemeralPubKey)).toHaveLength(33)
    },
  )

  it('is told from a grant of ours by its first byte', () => {
    expect(isNoxAuthorization(varBytes(new Uint8Array(200)))).toBe(false)
    expect(isNoxAuthorization(new Uint8Array(0))).toBe(false)
  })

  const bytes = encodeNoxAuthorization({ ...gateway, user })
  it('takes no bytes but its own: none fewer, none more', () => {
    for (let length = 0; length < bytes.length; length++)
      expect(() => decodeNoxAuthorization(bytes.slice(0, length))).toThrow(
        expect.objectContaining({ name: 'KmsError' }),
      )
    expect(() => decodeNoxAuthorization(concatBytes(bytes, Uint8Array.of(0)))).toThrow(/trailing/)
  })

  const changed = (at: number, value: number): Uint8Array => bytes.with(at, value)
  const flag = encodeNoxAuthorization(gateway).length - 1
  it.each([
    ['another kind', changed(0, 0x4f)],
    ['another version', changed(1, 2)],
    ['another flag than 0 and 1', changed(flag, 2)],
    ['a letter that is no digit', changed(14 + 5, 0x67)],
    ['a chain id above 2^53', changed(2, 0xff)],
  ])('refuses %s', (_what, altered) => {
    expect(() => decodeNoxAuthorization(altered)).toThrow(expect.objectContaining({ name: 'KmsError' }))
  })

  it.each([
    ['a point that is not compressed', { ephemeralPubKey: `0x04${'ab'.repeat(64)}` }],
    ['half a byte', { targetPubKey: '0x303' }],
    ['an RSA key that is too long', { targetPubKey: `0x${'30'.repeat(4097)}` }],
    ['a short signature', { signature: signature.slice(1) }],
    ['a user without a whole address', { user: { ...user, address: new Uint8Array(19) } }],
    ['a user with no key', { user: { ...user, encryptionPubKey: '0x' } }],
    ['a user with a huge signature', { user: { ...user, signature: new Uint8Array(513) } }],
  ])('writes none with %s', (_what, changes) => {
    expect(() => encodeNoxAuthorization({ ...gateway, ...changes })).toThrow(
      expect.objectContaining({ code: 'bad-request' }),
    )
  })
})
