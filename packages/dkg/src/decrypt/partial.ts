import { concatBytes } from '@noble/hashes/utils.js'
import { purposeCode, SUITE_SECP256K1, type Purpose } from '../ceremony/config.ts'
import { u16, u32, u8 } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { taggedHashBy } from '../primitives/hash.ts'
import { id32 } from '../primitives/point.ts'
import type { Secret } from '../primitives/secret.ts'
import type { KeyId, ParticipantIndex, PointBytes, SharingId } from '../primitives/types.ts'
import { proveDleq, verifyDleq } from '../proofs/dleq.ts'

/** One node's contribution: D_i = s_i * K with the proof that s_i is the share behind Y_i. */
export interface PartialDecryption {
  readonly D: PointBytes
  /** BIP-374, 64 bytes. */
  readonly proof: Uint8Array
}

/** What a partial is bound to. The client fills it from its own request and the certificate, never from an answer. */
export interface PartialContext {
  readonly purpose: Purpose
  readonly keyId: KeyId
  /** u32. */
  readonly epoch: number
  readonly sharingId: SharingId
  readonly index: ParticipantIndex
  /** 32 bytes. */
  readonly requestId: Uint8Array
  /** TH("request", REQ), 32 bytes. */
  readonly requestHash: Uint8Array
}

/** u16 suite || u8 purpose || keyId || u32 epoch || sharingId || u16 index || requestId || requestHash. */
export const CONTEXT_BYTES = 137

/** ctx: 137 bytes (protocol 10.1). @throws KmsError `bad-encoding` */
export function pdecContext(context: PartialContext): Uint8Array {
  return concatBytes(
    u16(SUITE_SECP256K1),
    u8(purposeCode(context.purpose)),
    id32(context.keyId, 'ctx.keyId'),
    u32(context.epoch),
    id32(context.sharingId, 'ctx.sharingId'),
    u16(context.index),
    id32(context.requestId, 'ctx.requestId'),
    id32(context.requestHash, 'ctx.requestHash'),
  )
}

/** m = TH("pdec", ctx), 32 bytes. */
const pdecMessage = (curve: Curve, ctx: Uint8Array): Uint8Array => taggedHashBy(curve, 'pdec', ctx)

/**
 * D = share * K and its proof, in one multiplication by the share and two by the nonce (protocol 10.1).
 * The caller has checked everything else: purpose, window, signature, policy, RSA key, header proof.
 * @param input.aux 32 fresh random bytes
 * @param input.verificationShare Y = share * G as the node computed it from the certificate; computed anew where it is not given
 * @throws KmsError `bad-scalar`, `self-check-failed` also when the share is not the one behind `verificationShare`
 */
export function createPartial(
  curve: Curve,
  input: {
    readonly share: Secret
    readonly verificationShare?: PointBytes
    readonly K: PointBytes
    readonly ctx: Uint8Array
    readonly aux: Uint8Array
  },
): PartialDecryption {
  const { C, proof } = proveDleq(curve, {
    secret: input.share,
    ...(input.verificationShare && { A: input.verificationShare }),
    B: input.K,
    base: curve.generator,
    message: pdecMessage(curve, input.ctx),
    aux: input.aux,
  })
  return { D: C, proof }
}

/**
 * Whether D is the share behind `verificationShare` times K, proven for exactly this ctx.
 * `verificationShare` comes from the certificate (`verificationShare` of sharing/feldman), never from the node itself. Public inputs.
 */
export function verifyPartial(
  curve: Curve,
  input: PartialDecryption & {
    readonly verificationShare: PointBytes
    readonly K: PointBytes
    readonly ctx: Uint8Array
  },
): boolean {
  const { verificationShare: A, K: B, D: C, ctx, proof } = input
  return verifyDleq(curve, { A, B, C, base: curve.generator, message: pdecMessage(curve, ctx) }, proof)
}
