import { z } from 'zod'
import { readable } from './readable.ts'

/** The signed JSON of the collateral, as far as it is looked at here; `@phala/dcap-qvl` reads the rest. */

const time = z.iso.datetime().transform((text) => Date.parse(text))
const hexOf = (bytes: number): z.ZodString => z.string().regex(new RegExp(`^[0-9A-Fa-f]{${2 * bytes}}$`))
const dated = z.object({ issueDate: time, nextUpdate: time, id: z.string().max(16).optional() })
const module = z.object({ mrsigner: hexOf(48), attributes: hexOf(8), attributesMask: hexOf(8) })
const moduleIdentity = module.extend({
  id: z.string().max(16),
  tcbLevels: z.array(z.object({ tcb: z.object({ isvsvn: z.int().min(0) }), tcbStatus: z.string().max(64) })).max(64),
})
/** Times in Unix milliseconds. */
export interface SignedDates {
  readonly issueDate: number
  readonly nextUpdate: number
  /** What it is about: `TDX` or `SGX`, of a quoting enclave `TD_QE` or `QE`. */
  readonly id?: string | undefined
}

/** Of a TDX module; hex of 48 and 8 bytes. */
export interface ModuleIdentity {
  readonly mrsigner: string
  readonly attributes: string
  readonly attributesMask: string
}

export interface TcbInfo extends SignedDates {
  /** 6 and 2 bytes in hex. */
  readonly fmspc: string
  readonly pceId: string
  readonly tdxModule?: ModuleIdentity | undefined
  readonly tdxModuleIdentities?:
    | readonly (ModuleIdentity & {
        readonly id: string
        readonly tcbLevels: readonly { readonly tcb: { readonly isvsvn: number }; readonly tcbStatus: string }[]
      })[]
    | undefined
}

const tcbInfo: z.ZodType<TcbInfo> = dated.extend({
  fmspc: hexOf(6),
  pceId: hexOf(2),
  tdxModule: module.optional(),
  tdxModuleIdentities: z.array(moduleIdentity).max(64).optional(),
})

/** @returns undefined where the text is not such JSON */
export const parseTcbInfo = (text: string): TcbInfo | undefined => parseAs(tcbInfo, text)
export const parseSignedDates = (text: string): SignedDates | undefined => parseAs(dated, text)

const parseAs = <T>(schema: z.ZodType<T>, text: string): T | undefined =>
  schema.safeParse(readable(() => JSON.parse(text) as unknown)).data
