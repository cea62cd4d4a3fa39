import { z } from 'zod'
import type { Measurement } from '../attest/quote.ts'
import { REFUSAL_REASONS } from '../attest/refusal-status.ts'
import type { AttestationPosture } from '../ops/status.ts'

const hashOf = (bytes: number): z.ZodString => z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`))
const u16 = z.int().min(0).max(0xffff)
const measurement: z.ZodType<Measurement> = z
  .union([
    z.strictObject({
      tee: z.literal('tdx'),
      mrTd: hashOf(48),
      rtmrs: z.tuple([hashOf(48), hashOf(48), hashOf(48), hashOf(48)]),
    }),
    z.strictObject({
      tee: z.literal('sgx'),
      mrEnclave: hashOf(32),
      mrSigner: hashOf(32),
      isvProdId: u16,
      isvSvn: u16,
    }),
  ])
  .describe('as the platform measured it; hashes in hex')
/** `attestation` of `GET /v1/status`. */
export const attestationPosture: z.ZodType<AttestationPosture> = z
  .strictObject({
    provider: z.enum(['none', 'simulated', 'tdx', 'dstack']),
    measurement: measurement.exactOptional(),
    allowedAs: z.string().exactOptional().describe("the entry of the node's own allow list that takes it"),
    expires: z.int().min(0).exactOptional().describe('when its quote or collateral end'),
    refused: z.enum(REFUSAL_REASONS).exactOptional().describe('why the node would not take its own quote'),
  })
  .describe('what the node says of its own proof; only the proof itself, at /v1/attestation, is to be believed')
