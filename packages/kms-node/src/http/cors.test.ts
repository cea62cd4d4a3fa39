import type { IncomingMessage } from 'node:http'
import { expect, it } from 'vitest'
import { allowOrigin, isPreflight, PREFLIGHT_HEADERS } from './cors.ts'

const origin = 'https://app.example.org'
const asking = (headers: IncomingMessage['headers']): IncomingMessage =>
  ({ method: 'OPTIONS', headers }) as unknown as IncomingMessage

it('lets a configured origin send a token, and never any origin or with credentials', () => {
  expect(PREFLIGHT_HEADERS['access-control-allow-headers']?.split(', ')).toContain('authorization')
  expect(Object.fromEntries(allowOrigin([origin], origin))).toEqual({
    vary: 'origin',
    'access-control-allow-origin': origin,
  })
  for (const other of ['https://evil.example.org', 'null', '*', `${origin}.evil.example`, undefined])
    expect(allowOrigin([origin], other)).toEqual([['vary', 'origin']])
  expect(Object.keys(PREFLIGHT_HEADERS)).not.toContain('access-control-allow-credentials')
})

it('answers a preflight of a configured origin only', () => {
  const method = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' }
  expect(isPreflight([origin], asking({ origin, ...method }))).toBe(true)
  expect(isPreflight([origin], asking({ origin }))).toBe(false)
  expect(isPreflight([], asking({ origin, ...method }))).toBe(false)
  expect(isPreflight([origin], asking({ origin: 'https://evil.example.org', ...method }))).toBe(false)
})
