import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { readBearerToken } from './bearer-token.ts'

it('knows a token by its hash only', () => {
  const tokenHash = new Uint8Array(createHash('sha256').update('abc-123.~+/==').digest())
  expect(readBearerToken('Bearer abc-123.~+/==')).toEqual({ tokenHash })
  expect(readBearerToken('bearer  abc-123.~+/==')).toEqual({ tokenHash })
  expect(readBearerToken(`Bearer ${'x'.repeat(256)}`)).toHaveProperty('tokenHash')
})

it('takes no header and those of other schemes for no token', () => {
  expect(readBearerToken(undefined)).toEqual({})
  expect(readBearerToken('Basic YTpi')).toEqual({})
})

it.each(['Bearer', 'Bearer ', 'Bearer a b', 'Bearer ä', 'Bearer =', 'Bearer a,b', `Bearer ${'x'.repeat(257)}`])(
  'refuses %j',
  (header) => {
    expect(readBearerToken(header)).toBe('malformed')
  },
)
