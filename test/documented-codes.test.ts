import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DKG_ERROR_CODES, REFUSAL_CODES } from '@tkms/dkg'
import { KMS_CLIENT_ERROR_CODES, OWN_FAILURE_CODES } from '@tkms/kms-client'
import { describe, expect, it } from 'vitest'
import { HTTP_ERRORS } from '../packages/kms-node/src/http/errors.ts'

const text = readFileSync(join(import.meta.dirname, '../docs/interfaces.md'), 'utf8')

interface Row {
  readonly codes: readonly string[]
  readonly statuses: readonly number[]
  readonly cause: string
  readonly remedy: string
}

/** The rows of every table of `docs/interfaces.md` with this head. */
function rowsUnder(head: string): readonly Row[] {
  return text
    .split(head)
    .slice(1)
    .flatMap((part) => {
      const [, ...lines] = part.trimStart().split('\n')
      const end = lines.findIndex((line) => !line.startsWith('|'))
      return lines.slice(0, end).map((line) => {
        const cells = line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim())
        const [codes = '', cause = '', remedy = ''] = cells.length === 4 ? [cells[0], cells[2], cells[3]] : cells
        const named = [...codes.matchAll(/`([a-z-]+)`/g)].map(([, code = '']) => code)
        return {
          codes: named,
          statuses: cells.length === 4 ? (cells[1] ?? '').split(', ').map(Number) : [],
          cause,
          remedy,
        }
      })
    })
}

const onTheWire = rowsUnder('| code | HTTP | cause | remedy |')
const inTheClient = rowsUnder('| code | cause | remedy |')

describe('every public error code is documented with cause and remedy', () => {
  it.each(Object.entries(HTTP_ERRORS))('%s, as a node answers it', (code, { status }) => {
    const row = onTheWire.find(({ codes }) => codes.includes(code))
    expect(row).toMatchObject({ cause: expect.stringMatching(/\w/), remedy: expect.stringMatching(/\w/) })
    const [first] = row?.statuses ?? []
    expect(row?.statuses[row.codes.indexOf(code)] ?? first).toBe(status)
  })

  it.each(REFUSAL_CODES)('%s, as a frame carries it', (code) => {
    expect(onTheWire.flatMap(({ codes }) => codes)).toContain(code)
  })

  it.each(['quorum-not-reached', ...KMS_CLIENT_ERROR_CODES, ...DKG_ERROR_CODES, ...OWN_FAILURE_CODES])(
    '%s, as the client throws it',
    (code) => {
      const row = inTheClient.find(({ codes }) => codes.includes(code))
      expect(row).toMatchObject({ cause: expect.stringMatching(/\w/), remedy: expect.stringMatching(/\w/) })
    },
  )

  it('and no code that does not exist', () => {
    const wire = new Set<string>(Object.keys(HTTP_ERRORS))
    const client = new Set<string>([
      'quorum-not-reached',
      ...KMS_CLIENT_ERROR_CODES,
      ...DKG_ERROR_CODES,
      ...OWN_FAILURE_CODES,
    ])
    expect(onTheWire.flatMap(({ codes }) => codes).filter((code) => !wire.has(code))).toEqual([])
    expect(inTheClient.flatMap(({ codes }) => codes).filter((code) => !client.has(code))).toEqual([])
  })
})
