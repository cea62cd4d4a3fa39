import { decodeNodePublicKey } from '@tkms/dkg'
import { z } from 'zod'
import type {
  ApproveInput,
  NewMember,
  ProposeImport,
  ProposeKeygen,
  ProposeReshare,
} from '../ceremony/propose-input.ts'

/** What the admin socket takes, as JSON. */

const keyName = z.string().min(1).max(64)
const generation = z.int().min(1).max(0xffffffff).optional()
const purpose = z.enum(['ecies-dec', 'ckd-dprf']).default('ecies-dec')
const lifetimeS = z
  .int()
  .min(60)
  .max(90 * 24 * 3600)
  .optional()
const hex32 = z.string().regex(/^0x[0-9a-f]{64}$/, '0x and 64 lower-case hex digits')
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.slice(2), 'hex'))

const newMember = z
  .strictObject({
    name: z.string().min(1).max(64),
    ed25519: hex32,
    peerId: z.string().max(128).optional(),
    multiaddrs: z.array(z.string().max(256)).min(1).max(16),
    url: z.string().max(512),
    tlsSpkiSha256: hex32.optional(),
  })
  .transform(
    ({ name, ed25519, multiaddrs, url, tlsSpkiSha256 }): NewMember => ({
      name,
      publicKey: decodeNodePublicKey(bytesOf(ed25519)),
      multiaddrs,
      url,
      ...(tlsSpkiSha256 !== undefined && { tlsSpkiSha256: bytesOf(tlsSpkiSha256) }),
    }),
  )

const keygenSchema: z.ZodType<ProposeKeygen> = z.strictObject({
  kind: z.literal('keygen').default('keygen'),
  keyName,
  purpose,
  generation,
  lifetimeS,
  rotate: z.boolean().optional(),
  like: keyName.optional(),
})
const reshareSchema: z.ZodType<ProposeReshare> = z.strictObject({
  kind: z.literal('reshare'),
  keyName,
  generation,
  lifetimeS,
  add: z
    .array(z.union([z.string().min(1).max(64), newMember]))
    .max(64)
    .optional(),
  remove: z.array(z.string().min(1).max(64)).max(64).optional(),
  threshold: z.int().min(2).max(63).optional(),
  lowerThreshold: z.boolean().optional(),
  degraded: z.boolean().optional(),
  supersede: z.boolean().optional(),
})

/** A key generation unless `kind` says otherwise. */
export const proposeSchema: z.ZodType<ProposeKeygen | ProposeReshare> = z.union([keygenSchema, reshareSchema])

/** The key itself comes as the body. */
export const importSchema: z.ZodType<Omit<ProposeImport, 'key'>> = z.strictObject({
  kind: z.literal('import').default('import'),
  keyName,
  purpose,
  generation: z.coerce.number().pipe(z.int().min(1).max(0xffffffff)).optional(),
  like: keyName.optional(),
  lifetimeS: z.coerce.number().pipe(z.int().min(60)).optional(),
})

export const approveSchema: z.ZodType<ApproveInput> = z.strictObject({
  degraded: z.boolean().optional(),
  lowerThreshold: z.boolean().optional(),
})

/** An absolute path of a cluster file. */
export interface UpdateInput {
  /** An absolute path. */
  readonly file: string
  /** 0x and 64 hex digits each. */
  readonly acceptConfigHashes: readonly string[]
}

export const updateSchema: z.ZodType<UpdateInput> = z.strictObject({
  file: z.string().min(1).max(4096),
  acceptConfigHashes: z
    .array(z.string().regex(/^0x[0-9a-f]{64}$/))
    .max(64)
    .default([]),
})
/** The name of a node. */
export const removeSchema: z.ZodType<{ readonly name: string }> = z.strictObject({ name: z.string().min(1).max(64) })

export const backupSchema: z.ZodType<{ readonly recipients: readonly string[] }> = z.strictObject({
  recipients: z.array(z.string().min(1).max(4096)).min(1).max(16),
})
