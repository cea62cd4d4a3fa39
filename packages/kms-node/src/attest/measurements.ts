import type { Measurement } from './quote.ts'

/** What may run, under a name of the operator's. Hashes in lower-case hex. Several stand side by side while versions change. */
export type AllowedMeasurement = { readonly name: string } & (
  | {
      readonly mrTd: string
      /** What is left out may be anything. */
      readonly rtmr0?: string | undefined
      readonly rtmr1?: string | undefined
      readonly rtmr2?: string | undefined
      readonly rtmr3?: string | undefined
    }
  | { readonly mrEnclave: string }
  | {
      readonly mrSigner: string
      readonly isvProdId: number
      /** The least that is taken. */
      readonly isvSvn: number
    }
)

/** @returns name of the first entry that allows it */
export const allowedName = (allow: readonly AllowedMeasurement[], measurement: Measurement): string | undefined =>
  allow.find((entry) => isAllowedBy(entry, measurement))?.name

function isAllowedBy(entry: AllowedMeasurement, measured: Measurement): boolean {
  if ('mrTd' in entry) {
    if (measured.tee !== 'tdx' || entry.mrTd !== measured.mrTd) return false
    const wanted = [entry.rtmr0, entry.rtmr1, entry.rtmr2, entry.rtmr3]
    return wanted.every((value, at) => value === undefined || value === measured.rtmrs[at])
  }
  if (measured.tee !== 'sgx') return false
  if ('mrEnclave' in entry) return entry.mrEnclave === measured.mrEnclave
  return (
    entry.mrSigner === measured.mrSigner && entry.isvProdId === measured.isvProdId && measured.isvSvn >= entry.isvSvn
  )
}

/** For people: what an allow list would have to name. */
export const describeMeasurement = (measured: Measurement): string =>
  measured.tee === 'tdx'
    ? `mrTd ${measured.mrTd}, ${measured.rtmrs.map((value, at) => `rtmr${at} ${value}`).join(', ')}`
    : `mrEnclave ${measured.mrEnclave}, mrSigner ${measured.mrSigner}, isvProdId ${measured.isvProdId}, isvSvn ${measured.isvSvn}`
