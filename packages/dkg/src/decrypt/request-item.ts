import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { equalBytes, type Reader, u64, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { decodePoint, id32, POINT_BYTES } from '../primitives/point.ts'
import type { PointBytes } from '../primitives/types.ts'
import { DLEQ_PROOF_BYTES } from '../proofs/dleq.ts'
import { ciphertextHash, decodeHeader, encodeHeader, HEADER_BYTES, type ProvenHeader } from './envelope-header.ts'
import type { EnvelopeV1 } from './envelope-v1.ts'
import type { EnvelopeV2 } from './envelope-v2.ts'
import { decodePolicy, MAX_POLICY_BYTES, policyHash } from './policy-expression.ts'

/** A grant, ours or another producer's authorization, in a v1 item. */
export const MAX_GRANT_BYTES = 4096

/** A bare K, whose right to be opened rests on a signed statement (interfaces 2). */
export interface RequestItemV1 {
  readonly version: 1
  readonly K: PointBytes
  /** 0 = none. */
  readonly chainId: number
  /** 32 bytes. */
  readonly handle: Uint8Array
  /** At most 4 KiB; empty = none. */
  readonly grant: Uint8Array
}

/** A v2 envelope without its ciphertext. */
export interface RequestItemV2 extends ProvenHeader {
  readonly version: 2
  /** The policy of the header's label: an encoded expression, or empty. */
  readonly policy: Uint8Array
}

export type RequestItem = RequestItemV1 | RequestItemV2

/** The point that a node is asked to multiply. */
export const itemPoint = (item: RequestItem): PointBytes => (item.version === 1 ? item.K : item.header.K)

/** The item that asks for a v1 envelope. */
export const requestItemV1 = (
  envelope: EnvelopeV1,
  permission: { readonly chainId: number; readonly grant: Uint8Array },
): RequestItemV1 => ({ version: 1, K: envelope.K, handle: envelope.handle, ...permission })

/** The item that asks for a v2 envelope. */
export const requestItemV2 = ({ header, proof, policy, ciphertext }: EnvelopeV2): RequestItemV2 => ({
  version: 2,
  header,
  proof,
  ctHash: ciphertextHash(ciphertext),
  policy,
})

/**
 * u8 1 || P K || u64 chain id || handle(32) || var grant, or u8 2 || var hdr || pi(64) || TH("ct", ct)(32) || var policy.
 * @throws KmsError `bad-request`, `bad-encoding`
 */
export function encodeItem(item: RequestItem): Uint8Array {
  if (item.version === 1) {
    if (item.grant.length > MAX_GRANT_BYTES) throw dkgError('bad-request', 'a grant has at most 4 KiB')
    return concatBytes(u8(1), item.K, u64(item.chainId), id32(item.handle, 'item.handle'), varBytes(item.grant))
  }
  if (item.proof.length !== DLEQ_PROOF_BYTES) throw dkgError('bad-request', 'a header proof has 64 bytes')
  return concatBytes(
    u8(2),
    varBytes(encodeHeader(item.header)),
    item.proof,
    id32(item.ctHash, 'item.ctHash'),
    varBytes(requirePolicy(item).policy),
  )
}

/** @throws KmsError `bad-encoding`, `bad-point`, `bad-request` */
export function readItem(curve: Curve, reader: Reader): RequestItem {
  const version = reader.u8('item.version')
  if (version === 1) {
    const K = decodePoint(curve, reader.take(POINT_BYTES, 'item.K'), 'K')
    const chainId = reader.u64('item.chainId')
    const handle = reader.take(32, 'item.handle')
    return { version, K, chainId, handle, grant: reader.var(MAX_GRANT_BYTES, 'item.grant') }
  }
  if (version !== 2) throw dkgError('bad-request', 'an item has version 1 or 2', { data: { version } })
  const header = decodeHeader(curve, reader.var(HEADER_BYTES, 'item.header'))
  const proof = reader.take(DLEQ_PROOF_BYTES, 'item.proof')
  const ctHash = reader.take(32, 'item.ctHash')
  return requirePolicy({ version, header, proof, ctHash, policy: reader.var(MAX_POLICY_BYTES, 'item.policy') }, curve)
}

function requirePolicy(item: RequestItemV2, curve?: Curve): RequestItemV2 {
  decodePolicy(item.policy)
  if (!equalBytes(policyHash(item.policy, curve), item.header.label.policyHash))
    throw dkgError('bad-request', 'the policy of an item is not the one in its label')
  return item
}
