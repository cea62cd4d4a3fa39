import { createHash } from 'node:crypto'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { KmsError } from '@tkms/dkg'

const DIGITS: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 }
const BANK = /^\s*(sha\d+):\s*$/
const VALUE = /^\s*(\d{1,2})\s*:\s*0x([0-9A-Fa-f]+)\s*$/
/** What a PCR holds that nobody extended. */
export const UNTOUCHED: RegExp = /^(?:0+|[fF]+)$/

/** Values of the PCRs that another start of this machine will leave. */
export interface PcrValues {
  /** SHA-256 over the values of the selected PCRs, in the order of their numbers, in hex: what a policy compares. */
  readonly digest: string
  /** Whether any of them was ever extended. */
  readonly isMeasured: boolean
}

/**
 * Reads what `tpm2_pcrread` prints. PCRs that are not selected do not count.
 * @param text lines "sha256:" and "0 : 0x..", in any order of PCRs
 * @param pcrs the selection, "sha256:0,1,2"
 * @param source named in the error
 * @throws KmsError `bad-pcr-values`
 */
export function parsePcrValues(text: string, pcrs: string, source: string): PcrValues {
  const [bank = '', selected = ''] = pcrs.split(':')
  const refuse = (problem: string): KmsError =>
    new KmsError('bad-pcr-values', `${source}: ${problem}. It should hold what tpm2_pcrread ${pcrs} prints`, {
      data: { file: source, pcrs },
    })
  const found = new Map<number, string>()
  let current = ''
  for (const line of text.split('\n')) {
    const [, named] = BANK.exec(line) ?? []
    current = named ?? current
    const [, pcr, value = ''] = VALUE.exec(line) ?? []
    if (pcr === undefined && named === undefined && line.trim() !== '') throw refuse('it holds something else')
    if (pcr === undefined || current !== bank) continue
    if (value.length !== DIGITS[bank]) throw refuse(`PCR ${pcr} has ${value.length} hex digits`)
    if (found.has(Number(pcr))) throw refuse(`it names PCR ${pcr} twice`)
    found.set(Number(pcr), value)
  }
  const values = selected
    .split(',')
    .map(Number)
    .toSorted((one, other) => one - other)
    .map((pcr) => {
      const value = found.get(pcr)
      if (value === undefined) throw refuse(`it has no value of PCR ${pcr} in ${bank}`)
      return value
    })
  const hash = createHash('sha256')
  for (const value of values) hash.update(hexToBytes(value.toLowerCase()))
  return {
    digest: bytesToHex(new Uint8Array(hash.digest())),
    isMeasured: values.some((value) => !UNTOUCHED.test(value)),
  }
}
