import { resolve } from 'node:path'
import { z } from 'zod'
import type { AllowedMeasurement } from '../attest/measurements.ts'
import { TAKEABLE_STATUSES } from '../attest/tcb.ts'
import type { AttestationConfig, NodeConfigFile } from './types.ts'

const path = z.string().min(1).max(4096)
const hexOf = (bytes: number): z.ZodString =>
  z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`), `${bytes} bytes in lower-case hex`)
const u16 = z.int().min(0).max(0xffff)

/** For people: what an entry of an allow list looks like. */
export const ALLOWED_SHAPE =
  'a name with mrTd (and rtmr0 to rtmr3), or with mrEnclave, or with mrSigner, isvProdId and isvSvn; hashes in lower-case hex'
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, '1 to 64 letters, digits, ".", "_" or "-"')
const register = hexOf(48).optional()
const allowed = z.union(
  [
    z.strictObject({ name, mrTd: hexOf(48), rtmr0: register, rtmr1: register, rtmr2: register, rtmr3: register }),
    z.strictObject({ name, mrEnclave: hexOf(32) }),
    z.strictObject({ name, mrSigner: hexOf(32), isvProdId: u16, isvSvn: u16 }),
  ],
  { error: ALLOWED_SHAPE },
)

/** For people: why an entry is refused in production. */
export const FIRMWARE_ALONE =
  'mrTd names the firmware alone: without rtmr1 and rtmr2 any kernel and disk could run on it'
/** Whether an entry leaves open what runs on the firmware that it names. */
export const namesFirmwareAlone = (entry: AllowedMeasurement): boolean =>
  'mrTd' in entry && (entry.rtmr1 === undefined || entry.rtmr2 === undefined)

/** One entry of an allow list. @returns undefined where it is none */
export const parseAllowed = (value: unknown): AllowedMeasurement | undefined => allowed.safeParse(value).data

/** `attestation` of node.yaml. */
export const attestationSchema: z.ZodType<AttestationConfig, object> = z.strictObject({
  provider: z.enum(['none', 'simulated', 'tdx', 'dstack']).default('none'),
  simulatedFile: path.optional(),
  reportDirectory: path.optional(),
  dstackSocket: path.optional(),
  rootFile: path.optional(),
  allow: z.array(allowed).max(64).default([]),
  tcbStatuses: z.array(z.enum(TAKEABLE_STATUSES)).min(1).max(8).default(['UpToDate']),
  collateral: z
    .strictObject({
      url: z
        .url({ protocol: /^https?$/ })
        .max(2048)
        .optional(),
      directory: path.default('collateral'),
      refreshHours: z.int().min(1).max(168).default(24),
    })
    .prefault({}),
  requirePeers: z.boolean().default(false),
  keepFloor: z.boolean().default(true),
  warnDays: z.int().min(1).max(365).default(14),
})

export function resolveAttestation(dataDir: string, config: AttestationConfig): AttestationConfig {
  const { simulatedFile, rootFile, collateral } = config
  return {
    ...config,
    ...(simulatedFile !== undefined && { simulatedFile: resolve(dataDir, simulatedFile) }),
    ...(rootFile !== undefined && { rootFile: resolve(dataDir, rootFile) }),
    collateral: { ...collateral, directory: resolve(dataDir, collateral.directory) },
  }
}

/** What no schema says: settings that belong together, and development switches. */
export function attestationProblems({ attestation, profile }: NodeConfigFile): readonly string[] {
  const { provider, simulatedFile, reportDirectory, dstackSocket, rootFile, allow, collateral } = attestation
  const problems: string[] = []
  const needs = (is: boolean, text: string): void => {
    if (!is) problems.push(text)
  }
  needs(
    (provider === 'simulated') === (simulatedFile !== undefined),
    'attestation.simulatedFile: with the provider simulated, and only with it',
  )
  needs(reportDirectory === undefined || provider === 'tdx', 'attestation.reportDirectory: only with the provider tdx')
  needs(dstackSocket === undefined || provider === 'dstack', 'attestation.dstackSocket: only with the provider dstack')
  needs(new Set(allow.map((entry) => entry.name)).size === allow.length, 'attestation.allow: names an entry twice')
  needs(
    !attestation.requirePeers || allow.length > 0,
    'attestation.requirePeers: without attestation.allow no peer could prove itself',
  )
  if (profile === 'development') return problems
  for (const entry of allow) needs(!namesFirmwareAlone(entry), `attestation.allow, ${entry.name}: ${FIRMWARE_ALONE}`)
  needs(provider !== 'simulated', 'attestation.provider: simulated only in the development profile')
  needs(rootFile === undefined, 'attestation.rootFile: another root than that of Intel only in the development profile')
  needs(
    collateral.url?.startsWith('http:') !== true,
    'attestation.collateral.url: plain HTTP only in the development profile',
  )
  return problems
}
