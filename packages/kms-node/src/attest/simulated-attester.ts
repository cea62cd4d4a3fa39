import { createPrivateKey } from 'node:crypto'
import { hexToBytes } from '@noble/hashes/utils.js'
import { z } from 'zod'
import { readBounded } from '../files.ts'
import type { Attester } from '../ports.ts'
import { parseChain } from './certificates.ts'
import { attestError } from './errors.ts'
import { readable } from './readable.ts'
import { mintTdxQuote, type SimulatedPlatform, type TdFields } from './simulated-quote.ts'

const MAX_FILE_BYTES = 64 * 1024

const hexOf = (bytes: number): z.ZodType<Uint8Array, string> =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`))
    .transform((text) => hexToBytes(text))

const fileSchema = z.strictObject({
  /** PEM, PKCS#8. */
  pckKey: z.string().max(4096),
  /** PEM: three certificates. */
  pckChain: z.string().max(32 * 1024),
  quotingEnclave: z.strictObject({
    mrSigner: hexOf(32),
    isvProdId: z.int().min(0).max(0xffff),
    isvSvn: z.int().min(0).max(0xffff),
  }),
  td: z.strictObject({
    mrTd: hexOf(48),
    rtmrs: z.array(hexOf(48)).max(4).optional(),
    teeTcbSvn: hexOf(16).optional(),
    tdAttributes: hexOf(8).optional(),
  }),
})

/** What a simulated machine's file holds: JSON, with bytes in hex. */
export interface SimulatedFile {
  readonly pckKey: string
  readonly pckChain: string
  readonly quotingEnclave: { readonly mrSigner: string; readonly isvProdId: number; readonly isvSvn: number }
  readonly td: {
    readonly mrTd: string
    readonly rtmrs?: readonly string[]
    readonly teeTcbSvn?: string
    readonly tdAttributes?: string
  }
}

/**
 * Quotes signed by a key in a file, for tests and rehearsals: they verify only where the file's own root is trusted.
 * @param path JSON as `SimulatedFile`
 * @throws KmsError `bad-attestation-file`
 */
export async function openSimulatedAttester(path: string): Promise<Attester> {
  const bytes = await readBounded(path, MAX_FILE_BYTES).catch((cause: unknown) => {
    throw attestError('bad-attestation-file', `${path} cannot be read`, { cause })
  })
  const document = readable(() => JSON.parse(new TextDecoder().decode(bytes)) as unknown)
  const parsed = fileSchema.safeParse(document)
  const pckKey = parsed.success ? readable(() => createPrivateKey(parsed.data.pckKey)) : undefined
  if (!parsed.success || pckKey?.asymmetricKeyType !== 'ec' || parseChain(parsed.data.pckChain)?.length !== 3)
    throw attestError('bad-attestation-file', `${path} does not describe a simulated machine`)
  const { pckChain, quotingEnclave, td } = parsed.data
  const platform: SimulatedPlatform = { pckKey, pckChain, quotingEnclave }
  const fields: TdFields = {
    mrTd: td.mrTd,
    ...(td.rtmrs && { rtmrs: td.rtmrs }),
    ...(td.teeTcbSvn && { teeTcbSvn: td.teeTcbSvn }),
    ...(td.tdAttributes && { tdAttributes: td.tdAttributes }),
  }
  return { provider: 'simulated', quote: async (reportData) => mintTdxQuote(platform, fields, reportData) }
}
