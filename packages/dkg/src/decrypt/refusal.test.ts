import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { REFUSAL_CODES, refusalCode, refusalStatus } from './refusal.ts'

const schema = readFileSync(new URL('../../../../proto/tkms/v1/delegate.proto', import.meta.url), 'utf8')

describe('refusal codes', () => {
  it('are the statuses of the wire schema, in its order', () => {
    const statuses = [...schema.matchAll(/STATUS_([A-Z_]+) = ([0-9]+);/g)].map(([, name = '', value = '']) => ({
      code: name.toLowerCase().replaceAll('_', '-'),
      status: Number(value),
    }))
    expect(statuses).toEqual([
      { code: 'unspecified', status: 0 },
      ...REFUSAL_CODES.map((code) => ({ code, status: refusalStatus(code) })),
    ])
  })

  it('read back', () => {
    for (const code of REFUSAL_CODES) expect(refusalCode(refusalStatus(code))).toBe(code)
  })

  it.each([0, 24, -1, 1.5, Number.NaN])('knows no status %d', (status) => {
    expect(refusalCode(status)).toBeUndefined()
  })
})
