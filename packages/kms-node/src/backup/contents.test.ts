import { Secret } from '@tkms/dkg'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BACKED_UP, BACKED_UP_FILES, type BackupContents, decodeContents, encodeContents } from './contents.ts'

const kinds = Object.keys(BACKED_UP) as (keyof typeof BACKED_UP)[]
const names = Object.keys(BACKED_UP_FILES) as (keyof typeof BACKED_UP_FILES)[]
const record = fc.record({
  kind: fc.constantFrom(...kinds),
  id: fc.string({ minLength: 1, maxLength: 20 }),
  value: fc.uint8Array({ maxLength: 50 }),
})
const contents = fc.record({
  records: fc.uniqueArray(record, { selector: ({ kind, id }) => `${kind}/${id}`, maxLength: 20 }),
  files: fc.uniqueArray(fc.tuple(fc.constantFrom(...names), fc.uint8Array({ maxLength: 50 })), {
    selector: ([name]) => name,
  }),
})
const bytesOf = (secret: Secret): Uint8Array => secret.use((bytes) => Uint8Array.from(bytes))
const plain = ({ records, files }: BackupContents): unknown => ({
  records: records
    .map(({ kind, id, value }) => `${kind}/${id}/${Buffer.from(bytesOf(value)).toString('hex')}`)
    .toSorted(),
  files: [...files].toSorted(([left], [right]) => (left < right ? -1 : 1)),
})

describe('the content of a backup', () => {
  test('is the same after it was read, in one encoding whatever the order', () => {
    fc.assert(
      fc.property(contents, (given) => {
        const make = (records: typeof given.records): BackupContents => ({
          records: records.map(({ value, ...rest }) => ({ ...rest, value: Secret.copyOf(value) })),
          files: new Map(given.files),
        })
        const encoded = encodeContents(make(given.records))
        const bytes = bytesOf(encoded)
        expect(bytesOf(encodeContents(make(given.records.toReversed())))).toEqual(bytes)
        expect(plain(decodeContents(encoded))).toEqual(plain(make(given.records)))
        expect(bytesOf(encodeContents(decodeContents(encoded)))).toEqual(bytes)
      }),
    )
  })

  test('is refused when it is cut, longer, of another version, or names what nobody knows', () => {
    const one = { kind: 'pin', id: 'cluster', value: new Secret(new Uint8Array(32)) } as const
    const bytes = bytesOf(encodeContents({ records: [one], files: new Map([['policy.yaml', new Uint8Array(3)]]) }))
    const refused = (change: (copy: Uint8Array) => Uint8Array, code = 'backup-damaged'): void =>
      expect(() => decodeContents(new Secret(change(bytes.slice())))).toThrow(
        expect.objectContaining({ code }) as Error,
      )
    const set = (place: number, value: number) => (copy: Uint8Array) => {
      copy[place] = value
      return copy
    }
    refused((copy) => copy.slice(0, -1))
    refused((copy) => Uint8Array.of(...copy, 0))
    refused(set(0, 2), 'backup-version')
    refused(set(1, 0xff))
    refused(set(5, 3))
    refused(set(bytes.length - 8, 9))
  })

  test('has no room for an open ceremony', () => {
    expect(kinds).not.toContain('ceremony')
    expect(kinds).not.toContain('repair')
  })

  test('takes the same record only once', () => {
    const twice = [1, 2].map(() => ({ kind: 'pin', id: 'cluster', value: new Secret(new Uint8Array(1)) }) as const)
    const encoded = encodeContents({ records: twice, files: new Map() })
    expect(() => decodeContents(encoded)).toThrow(expect.objectContaining({ code: 'backup-damaged' }) as Error)
  })
})
