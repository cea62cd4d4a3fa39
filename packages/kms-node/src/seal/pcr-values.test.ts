import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { parsePcrValues } from './pcr-values.ts'

const value = (byte: string): string => byte.repeat(32)
const printed = `  sha256:\n    0 : 0x${value('AA')}\n    4 : 0x${value('0b')}\n    7 : 0x${value('00')}\n`
const sha256 = (hex: string): string => createHash('sha256').update(Buffer.from(hex, 'hex')).digest('hex')

it('takes the selected values in the order of their numbers, from its own bank', () => {
  const expected = { digest: sha256(value('AA') + value('0b')), isMeasured: true }
  expect(parsePcrValues(printed, 'sha256:4,0', 'file')).toEqual(expected)
  expect(parsePcrValues(`  sha1:\n    0 : 0x${'11'.repeat(20)}\n${printed}`, 'sha256:0,4', 'file')).toEqual(expected)
  expect(parsePcrValues(printed, 'sha256:7', 'file').isMeasured).toBe(false)
})

it.each([
  ['a PCR that is missing', printed, 'sha256:0,1'],
  ['another bank', printed, 'sha384:0'],
  ['a value that is too short', printed.replace('0xAA', '0x'), 'sha256:0'],
  ['a PCR twice', `${printed}    0 : 0x${value('11')}\n`, 'sha256:0'],
  ['anything else', `${printed}error\n`, 'sha256:0'],
  ['nothing', '', 'sha256:0'],
])('refuses %s', (_name, text, pcrs) => {
  expect(() => parsePcrValues(text, pcrs, 'file')).toThrow(expect.objectContaining({ code: 'bad-pcr-values' }))
})
