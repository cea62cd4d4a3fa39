import { sha256 } from '@noble/hashes/sha2.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import { isBearerToken } from '@tkms/dkg'

/** What a policy knows a bearer token by. The token goes no further than its transport. */
export const bearerTokenHash = (token: string): Uint8Array => sha256(utf8ToBytes(token))

const BEARER = /^bearer(?: +(.*))?$/i

/** The token of an `Authorization` header, hashed. Nothing for a header of another scheme: a proxy's, not ours. */
export function readBearerToken(header: string | undefined): { readonly tokenHash?: Uint8Array } | 'malformed' {
  const match = header === undefined ? null : BEARER.exec(header)
  if (match === null) return {}
  const token = match[1] ?? ''
  return isBearerToken(token) ? { tokenHash: bearerTokenHash(token) } : 'malformed'
}
