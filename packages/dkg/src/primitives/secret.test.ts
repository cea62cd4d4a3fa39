import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { Secret } from './secret.ts'

describe('Secret', () => {
  const secret = (): Secret => new Secret(Uint8Array.of(0xde, 0xad))

  it('prints nothing of itself, however it is printed', () => {
    const it_ = secret()
    const printed = [
      String(it_),
      JSON.stringify({ it_ }),
      inspect(it_),
      inspect({ it_ }, { depth: 9, showHidden: true }),
    ]
    for (const text of printed) {
      expect(text).toContain('[redacted]')
      expect(text).not.toMatch(/de|ad,|222|173/u)
    }
  })

  it('is wiped by destroy, and unreadable afterwards', () => {
    const it_ = secret()
    const kept = it_.use((bytes) => bytes)
    it_.destroy()
    it_.destroy()
    expect([...kept]).toEqual([0, 0])
    expect(it_.destroyed).toBe(true)
    expect(() => it_.use((bytes) => bytes)).toThrow(expect.objectContaining({ code: 'secret-destroyed' }))
  })

  it('copies when asked to', () => {
    const source = Uint8Array.of(1)
    const it_ = Secret.copyOf(source)
    source.fill(0)
    expect(it_.use((bytes) => [...bytes])).toEqual([1])
  })
})
