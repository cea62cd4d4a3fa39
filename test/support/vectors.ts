import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Curve, nobleCurve } from '@tkms/dkg'
import { loadNativeCurve } from '@tkms/curve-native'
import { hexToBytes } from '@noble/hashes/utils.js'
import { describe, it } from 'vitest'
import { vectorFolder } from './vectors-folder.ts'

/** A suite over third-party vectors; one skipped test where there are none. */
export function describeVectors(name: string, body: () => void): void {
  if (vectorFolder === undefined) it.skip(`${name} (no third-party vectors: set TKMS_VECTORS)`, () => undefined)
  else describe(name, body)
}

const read = (path: string): string => readFileSync(join(vectorFolder ?? '', path), 'utf8')

/** A JSON file of the vector folder. The caller names the part of its shape that it uses. */
export const readJson = <T>(path: string): T => JSON.parse(read(path)) as T

/** The rows of a CSV file without quoted commas before its last column, by the names of its header line. */
export function readCsv(path: string): Record<string, string>[] {
  const [header = '', ...lines] = read(path).trim().split('\n')
  const names = header.trim().split(',')
  return lines.map((line) => {
    const cells = line.trim().split(',')
    return Object.fromEntries(names.map((name, at) => [name, cells[at] ?? '']))
  })
}

/** Hex with or without 0x, either case. */
export const bytes = (hex: string): Uint8Array => hexToBytes(hex.replace(/^0x/, ''))

export const number = (hex: string): bigint => BigInt(hex.startsWith('0x') ? hex : `0x${hex}`)

/** Every curve backend of this platform. */
export const backends: readonly Curve[] = [nobleCurve, loadNativeCurve()].filter((curve) => curve !== undefined)

/** The tests of a Wycheproof file with the group they stand in. */
export function wycheproof<Group extends object, Test extends object>(file: string): (Test & { group: Group })[] {
  const { testGroups } = readJson<{ testGroups: (Group & { tests: Test[] })[] }>(`wycheproof/${file}`)
  return testGroups.flatMap((group) => group.tests.map((test) => ({ ...test, group })))
}
