import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'

/** Who signs: a requester or the issuer of a grant (interfaces 2). */
export type Requester =
  /** 32 bytes as written: not yet known to be a point of prime order. */
  | { readonly kind: 'ed25519'; readonly key: Uint8Array }
  /** 20 bytes. */
  | { readonly kind: 'eip712'; readonly address: Uint8Array }
  /** 32 bytes: the hash of the session. */
  | { readonly kind: 'session'; readonly hash: Uint8Array }
  | { readonly kind: 'none' }

/** The longest id: "session:" and 64 hex digits. */
export const MAX_PUBLIC_KEY_ID_BYTES = 72

/** The four spellings. */
export const PUBLIC_KEY_ID: RegExp =
  /^(?:(ed25519):([0-9a-f]{64})|(eip712):0x([0-9a-f]{40})|(session):([0-9a-f]{64})|none)$/

/** The same for people. */
export const PUBLIC_KEY_ID_RULE = '"ed25519:<64 hex>", "eip712:0x<40 hex>", "session:<64 hex>" or "none"'

/**
 * Parses "ed25519:<64 hex>" | "eip712:0x<40 hex>" | "session:<64 hex>" | "none", lower-case hex only: one spelling per key.
 * @throws KmsError `bad-request`
 */
export function parsePublicKeyId(text: string): Requester {
  const match = PUBLIC_KEY_ID.exec(text)
  if (match === null) throw dkgError('bad-request', `publicKeyId is ${PUBLIC_KEY_ID_RULE}`)
  const [, ed25519, key = '', eip712, address = '', session, hash = ''] = match
  if (ed25519 !== undefined) return { kind: 'ed25519', key: hexToBytes(key) }
  if (eip712 !== undefined) return { kind: 'eip712', address: hexToBytes(address) }
  if (session !== undefined) return { kind: 'session', hash: hexToBytes(hash) }
  return { kind: 'none' }
}

/** The one spelling of an id; `parsePublicKeyId` reads it back. */
export function formatPublicKeyId(requester: Requester): string {
  switch (requester.kind) {
    case 'ed25519':
      return `ed25519:${bytesToHex(requester.key)}`
    case 'eip712':
      return `eip712:0x${bytesToHex(requester.address)}`
    case 'session':
      return `session:${bytesToHex(requester.hash)}`
    case 'none':
      return 'none'
  }
}

/**
 * An id as canonical bytes hold it: ASCII.
 * @throws KmsError `bad-request`
 */
export function decodePublicKeyId(bytes: Uint8Array): string {
  const text = String.fromCharCode(...bytes)
  parsePublicKeyId(text)
  return text
}
