import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { formatDocument, goldenDocuments } from './documents.ts'

const folder = join(import.meta.dirname, 'vectors')
const verifier = join(import.meta.dirname, '../../scripts/verify_golden.py')
const hasPython = spawnSync('python3', ['--version']).status === 0
const scratch = mkdtempSync(join(tmpdir(), 'tkms-golden-'))
afterAll(() => rmSync(scratch, { recursive: true }))

function verifyInPython(vectors: string): { readonly status: number | null; readonly lines: readonly string[] } {
  const { status, stdout } = spawnSync('python3', [verifier, vectors], { encoding: 'utf8' })
  return { status, lines: stdout.trim().split('\n') }
}

/** Flips the last hex digit of the first value that follows each of these keys. */
function maul(file: string, keys: readonly RegExp[]): void {
  const path = join(scratch, file)
  const text = keys.reduce(
    (before, key) => {
      const match = key.exec(before)
      if (match === null) throw new Error(`${file} has no ${key.source}`)
      const end = before.indexOf('"', match.index + match[0].length) - 1
      return `${before.slice(0, end)}${before[end] === '0' ? '1' : '0'}${before.slice(end + 1)}`
    },
    readFileSync(path, 'utf8'),
  )
  writeFileSync(path, text)
}

describe('golden vectors', () => {
  const documents = goldenDocuments()

  it.each([...documents.keys()])('%s is what the code makes today', (name) => {
    expect(readFileSync(join(folder, name), 'utf8')).toBe(formatDocument(documents.get(name) ?? {}))
  })

  it('there are no others', () => {
    expect(readdirSync(folder).toSorted()).toEqual([...documents.keys()].toSorted())
  })
})

describe.skipIf(!hasPython)('the second implementation, in Python', () => {
  it('verifies every vector', () => {
    const { status, lines } = verifyInPython(folder)
    expect(lines).toEqual([expect.stringMatching(/^[1-9][0-9]* passed, 0 failed$/)])
    expect(status).toBe(0)
  })

  it('notices a mauled certificate, proof, answer and combination', () => {
    cpSync(folder, scratch, { recursive: true })
    maul('ceremony.json', [/"certificate": "/])
    maul('handover.json', [/"certificate": "/, /"repropose": \{[^}]*"spec": "/])
    maul('dleq.json', [/"proof": "/])
    maul('requesters.json', [/"request": \{[^}]*"signature": "/, /"grants": \{[^}]*"digest": "/, /"hash": "/])
    maul('decryption.json', [/"signature": "/, /"combinations": \[[^}]*"D": "/])
    maul('nox.json', [/"accessDigest": "/, /"gateway": "/])
    maul('audit.json', [/"record": "/, /"signature": "/])
    const { status, lines } = verifyInPython(scratch)
    expect(status).toBe(1)
    for (const name of [
      'commit of',
      'reshare: commit of',
      'repropose: X',
      'proof 0 verifies',
      'answer of 1',
      "wallet's request, signature",
      'grant by ed25519, digest',
      "wallet's request, its parts",
      'combination 1,2,3',
      'audit record 0',
      'audit head',
      'nox user, digest',
      'nox gateway, signature',
    ])
      expect(lines.filter((line) => line.replace(/[[\] ]/g, '').includes(name.replaceAll(' ', '')))).not.toEqual([])
  })
})
