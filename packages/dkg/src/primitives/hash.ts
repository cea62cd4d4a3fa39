import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import type { Curve } from './curve.ts'

const PREFIX = 'TKMS/1/'
const midstates = new Map<string, ReturnType<typeof sha256.create>>()

function midstate(tag: string): ReturnType<typeof sha256.create> {
  const known = midstates.get(tag)
  if (known !== undefined) return known
  const hashedTag = sha256(utf8ToBytes(PREFIX + tag))
  const state = sha256.create().update(hashedTag).update(hashedTag)
  midstates.set(tag, state)
  return state
}

/**
 * TH(tag, x) = SHA256(SHA256(T) || SHA256(T) || x) with T = "TKMS/1/" + tag (protocol 3; BIP-340 tagged hash).
 * The parts are concatenated without separators: every caller passes canonical, self-delimiting bytes.
 * @param tag one of a fixed set of ASCII names, never a value from outside
 * @returns 32 bytes
 */
export function taggedHash(tag: string, ...parts: readonly Uint8Array[]): Uint8Array {
  const hash = midstate(tag).clone()
  for (const part of parts) hash.update(part)
  return hash.digest()
}

const prefixes = new Map<string, Uint8Array>()

/** `taggedHash` with the SHA-256 of a curve's backend, for where it has to be quick. */
export function taggedHashBy(curve: Pick<Curve, 'sha256'>, tag: string, ...parts: readonly Uint8Array[]): Uint8Array {
  let prefix = prefixes.get(tag)
  if (prefix === undefined) {
    const hashedTag = sha256(utf8ToBytes(PREFIX + tag))
    prefix = concatBytes(hashedTag, hashedTag)
    prefixes.set(tag, prefix)
  }
  return curve.sha256(prefix, ...parts)
}

const SIGNATURE_PREFIX = utf8ToBytes('TKMS/1/sig')

/**
 * What an Ed25519 key signs for `sig(tag, body)`: "TKMS/1/sig" || 0x00 || u8 len(tag) || tag || TH(tag, body) (protocol 3).
 * The prefix keeps it apart from every other use of the key (libp2p signs with the same one).
 */
export const signedBytes = (tag: string, body: Uint8Array): Uint8Array => signedHash(tag, taggedHash(tag, body))

/** The same from TH(tag, body). @param hash 32 bytes */
export function signedHash(tag: string, hash: Uint8Array): Uint8Array {
  const name = utf8ToBytes(tag)
  return concatBytes(SIGNATURE_PREFIX, Uint8Array.of(0, name.length), name, hash)
}
