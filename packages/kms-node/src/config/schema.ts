import { PROTOCOL_TIMINGS } from '@tkms/dkg'
import { z } from 'zod'
import { DSTACK_SOCKET } from '../dstack/guest-agent.ts'
import { DEFAULT_RETIREMENT } from '../keys/life.ts'
import { DEFAULT_STARTUP_WAIT_MS } from '../keys/startup-check.ts'
import { DEFAULT_SCRYPT } from '../seal/passphrase-sealer.ts'
import { attestationSchema } from './attestation.ts'
import type { NodeConfigFile } from './types.ts'

const milliseconds = z.int().min(1).max(3_600_000)
const count = (max: number): z.ZodInt => z.int().min(1).max(max)
const multiaddr = z
  .string()
  .max(256)
  .regex(/^\/[!-~]+$/, 'a multiaddr such as /ip4/0.0.0.0/tcp/7001')
const origin = z
  .string()
  .max(256)
  .refine(
    isOrigin,
    'an origin as browsers send it, such as https://app.example.org or http://127.0.0.1:3000, and no pattern',
  )
/** Whether a browser may send this as `Origin`: the comparison is by letter, so anything else would never match, or looks as if it matched more. */
function isOrigin(text: string): boolean {
  return /^https?:\/\/(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]+)?$/.test(text) && URL.parse(text)?.origin === text
}
const path = z.string().min(1).max(4096)

const http = z.strictObject({
  host: z.string().min(1).max(253).default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(7443),
  tls: z.boolean().default(true),
  tlsCertFile: path.optional(),
  tlsKeyFile: path.optional(),
  corsOrigins: z.array(origin).max(64).default([]),
})

const tcti = z
  .string()
  .max(256)
  .regex(/^[a-z0-9-]+(?::[!-~]*)?$/, 'a TCTI such as device:/dev/tpmrm0')
const pcrs = z
  .string()
  .regex(/^sha(?:256|384|512):(?:1?[0-9]|2[0-3])(?:,(?:1?[0-9]|2[0-3]))*$/, 'a bank and its PCRs such as sha256:0,1,7')
  .refine((text) => {
    const numbers = text.replace(/^.*:/, '').split(',')
    return new Set(numbers).size === numbers.length
  }, 'names a PCR twice')

const sealer = z.discriminatedUnion(
  'provider',
  [
    z.strictObject({
      provider: z.literal('passphrase').default('passphrase'),
      passphraseFile: path.optional(),
      scryptLogN: z.int().min(10).max(22).default(DEFAULT_SCRYPT.logN),
    }),
    z.strictObject({
      provider: z.literal('tpm2'),
      tcti: tcti.default('device:/dev/tpmrm0'),
      pcrs: pcrs.default('sha256:0,1,2,3,4,5,7'),
    }),
    z.strictObject({ provider: z.literal('dstack'), socket: path.default(DSTACK_SOCKET) }),
    z.strictObject({ provider: z.literal('kms-file'), keyFile: path.default('sealer.key') }),
  ],
  { error: ({ code }) => (code === 'invalid_union' ? 'one of passphrase, tpm2, dstack, kms-file' : undefined) },
)

const ceremony = z.strictObject({
  phaseBaseMs: milliseconds.default(PROTOCOL_TIMINGS.phaseBaseMs),
  phasePerMemberMs: milliseconds.default(PROTOCOL_TIMINGS.phasePerMemberMs),
  retransmitMs: milliseconds.default(PROTOCOL_TIMINGS.retransmitMs),
  retransmitMaxMs: milliseconds.default(PROTOCOL_TIMINGS.retransmitMaxMs),
  retireGraceMs: milliseconds.default(DEFAULT_RETIREMENT.graceMs),
  startupWaitMs: milliseconds.default(DEFAULT_STARTUP_WAIT_MS),
})

const limits = z.strictObject({
  maxRequestsInFlight: count(1024).default(16),
  maxRequestsQueued: count(65_536).default(512),
  requestsPerSecond: count(1_000_000).default(100),
  requestBurst: count(1_000_000).default(400),
  maxHttpConnections: count(65_536).default(512),
  maxHttpConnectionsPerAddress: count(65_536).default(64),
  newHttpConnectionsPerSecond: count(65_536).default(50),
  httpRequestTimeoutMs: milliseconds.default(15_000),
  replayEntries: count(100_000_000).default(1_000_000),
  replayEntriesPerRequester: count(100_000_000).default(250_000),
  rsaKeyCacheEntries: count(1_000_000).default(4096),
})

const serving = z.strictObject({ workers: z.int().min(0).max(64).optional() })

const chain = z.strictObject({
  rpc: z
    .array(z.url({ protocol: /^https?$/ }).max(2048))
    .min(1)
    .max(16),
  required: count(16).optional(),
  timeoutMs: milliseconds.max(30_000).default(3000),
})
/** Up to 2^53 - 1, as the items of requests hold it. */
const chainId = z
  .string()
  .regex(/^[1-9][0-9]{0,15}$/, 'a chain id in decimal digits')
  .refine((id) => Number.isSafeInteger(Number(id)), 'a chain id below 2^53')

const schema = z.strictObject({
  profile: z.enum(['production', 'development']).default('production'),
  name: z
    .string()
    .regex(
      /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
      '1 to 64 letters, digits, ".", "_" or "-", the first a letter or digit',
    ),
  dataDir: path.optional(),
  listen: z.array(multiaddr).min(1).max(16).default(['/ip4/0.0.0.0/tcp/7001']),
  announce: z.array(multiaddr).max(16).default([]),
  publicUrl: z
    .url({ protocol: /^https?$/ })
    .max(512)
    .optional(),
  http: http.prefault({}),
  adminSocket: path.optional(),
  sealer: sealer.prefault({}),
  attestation: attestationSchema.prefault({}),
  ceremony: ceremony.prefault({}),
  limits: limits.prefault({}),
  serving: serving.prefault({}),
  chains: z.record(chainId, chain).default({}),
  erc1271: z.strictObject({ chain: z.int().min(1) }).optional(),
  policyFile: path.optional(),
  log: z
    .strictObject({ level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info') })
    .prefault({}),
})

/** node.yaml. Every level refuses unknown keys. */
export const nodeConfigSchema: z.ZodType<NodeConfigFile> = schema
/** The same, to be walked field by field. */
export const nodeConfigFields: z.ZodObject = schema
