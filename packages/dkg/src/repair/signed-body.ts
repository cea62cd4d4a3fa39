import { concatBytes } from '@noble/hashes/utils.js'
import { decodeAll, varBytes } from '../primitives/codec.ts'
import {
  SIGNATURE_BYTES,
  type SignMessage,
  signTagged,
  type VerifyMessage,
  verifyTagged,
} from '../primitives/ed25519.ts'
import { type CommitteeConfig, memberAt } from '../ceremony/config.ts'

/** `var body || sig(64)` (protocol 3) outside a ceremony: what repair, destruction and erasure sign. The tag says what the body is. */
export interface SignedBody {
  readonly body: Uint8Array
  /** Ed25519, 64 bytes. */
  readonly signature: Uint8Array
  /** The whole, as received. */
  readonly bytes: Uint8Array
}

/** @param tag one of a fixed set of names, never a value from outside */
export function signBody(sign: SignMessage, tag: string, body: Uint8Array): SignedBody {
  const signature = signTagged(sign, tag, body)
  return { body, signature, bytes: concatBytes(varBytes(body), signature) }
}

/**
 * Splits body and signature. The signature is not checked.
 * @throws KmsError `bad-encoding`
 */
export const decodeSignedBody = (bytes: Uint8Array, maxBodyBytes: number): SignedBody =>
  decodeAll(bytes, 'signed body', (reader) => ({
    body: reader.var(maxBodyBytes, 'body'),
    signature: reader.take(SIGNATURE_BYTES, 'signature'),
    bytes,
  }))

/** Whether member `index` of this committee signed the body under `tag`. */
export function verifySignedBody(
  verify: VerifyMessage,
  config: CommitteeConfig,
  tag: string,
  index: number,
  signed: SignedBody,
): boolean {
  const member = memberAt(config, index)
  return member !== undefined && verifyTagged(verify, member.publicKey, tag, signed.body, signed.signature)
}
