import { hexToBytes } from '@noble/hashes/utils.js'
import { type Reply, textReply } from './reply.ts'

export interface DelegateQuery {
  readonly chainId: number
  /** As sent; judged only after the chain. */
  readonly salt: string
}

export interface DelegateBody {
  readonly ephemeralPubKey: string
  readonly targetPubKey: string
  /** Ours, for gateways that pass on what their user signed; the single-key service ignores it. */
  readonly user?: DelegateUser
}

export interface DelegateUser {
  /** 32 bytes. */
  readonly handle: Uint8Array
  /** 20 bytes. */
  readonly address: Uint8Array
  readonly encryptionPubKey: string
  readonly notBefore: number
  readonly expiresAt: number
  /** 65 to 512 bytes. */
  readonly signature: Uint8Array
}

/** What was read, or what the caller is told instead. */
export type Read<T> = { readonly kind: 'read'; readonly value: T } | { readonly kind: 'refused'; readonly reply: Reply }

const read = <T>(value: T): Read<T> => ({ kind: 'read', value })
const refused = (reply: Reply): Read<never> => ({ kind: 'refused', reply })
const badQuery = (detail: string): Read<never> =>
  refused(textReply(`Failed to deserialize query string: ${detail}`, 400))
const badJson = (detail: string): Read<never> =>
  refused(textReply(`Failed to parse the request body as JSON: ${detail}`, 400))
const badShape = (detail: string): Read<never> =>
  refused(textReply(`Failed to deserialize the JSON body into the target type: ${detail}`, 422))

const MAX_U32 = 0xffff_ffff

/** @param search what stands behind the "?" */
export function readDelegateQuery(search: string): Read<DelegateQuery> {
  const values = new URLSearchParams(search)
  for (const name of ['chain_id', 'salt'])
    if (values.getAll(name).length > 1) return badQuery(`duplicate field \`${name}\``)
  const [chain, salt] = [values.get('chain_id'), values.get('salt')]
  if (chain === null) return badQuery('missing field `chain_id`')
  if (chain === '') return badQuery('chain_id: cannot parse integer from empty string')
  if (!/^\+?[0-9]+$/.test(chain)) return badQuery('chain_id: invalid digit found in string')
  if (Number(chain) > MAX_U32) return badQuery('chain_id: number too large to fit in target type')
  return salt === null ? badQuery('missing field `salt`') : read({ chainId: Number(chain), salt })
}

const isJson = (type: string | undefined): boolean =>
  /^application\/(?:[^;\s]+\+)?json$/i.test(type?.split(';')[0]?.trim() ?? '')

/** @returns what the caller is told when the body does not claim to be JSON: it is not even read then */
export const refuseContentType = (type: string | undefined): Reply | undefined =>
  isJson(type) ? undefined : textReply('Expected request with `Content-Type: application/json`', 415)

export const BODY_TOO_LONG: Reply = textReply('Failed to buffer the request body: length limit exceeded', 413)

export function readDelegateBody(body: Uint8Array): Read<DelegateBody> {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body))
  } catch {
    // Neither parser says anything that the caller does not know.
    return badJson('expected a JSON object in UTF-8')
  }
  if (!isRecord(value)) return badShape('expected an object')
  for (const name of ['ephemeralPubKey', 'targetPubKey']) {
    if (value[name] === undefined) return badShape(`missing field \`${name}\``)
    if (typeof value[name] !== 'string') return badShape(`${name}: expected a string`)
  }
  const { ephemeralPubKey, targetPubKey } = value as unknown as DelegateBody
  const { userAuthorization } = value
  if (userAuthorization === undefined || userAuthorization === null) return read({ ephemeralPubKey, targetPubKey })
  const user = readUser(userAuthorization, value['handle'])
  return typeof user === 'string' ? badShape(user) : read({ ephemeralPubKey, targetPubKey, user })
}

/** What the SDK of Nox puts into its Authorization header, beside the handle it asks for. @returns or what is wrong */
function readUser(value: unknown, handle: unknown): DelegateUser | string {
  if (!isRecord(value) || !isRecord(value['payload'])) return 'userAuthorization: expected {payload, signature}'
  const { userAddress, encryptionPubKey, notBefore, expiresAt } = value['payload']
  const bytes = {
    handle: hexBytes(handle, 32, 32),
    address: hexBytes(userAddress, 20, 20),
    signature: hexBytes(value['signature'], 65, 512),
  }
  if (bytes.handle === undefined) return 'handle: expected 0x and 64 hex digits'
  if (bytes.address === undefined) return 'userAuthorization.payload.userAddress: expected an address'
  if (bytes.signature === undefined) return 'userAuthorization.signature: expected 65 to 512 bytes in hex'
  if (typeof encryptionPubKey !== 'string') return 'userAuthorization.payload.encryptionPubKey: expected a string'
  if (!isSeconds(notBefore) || !isSeconds(expiresAt)) return 'userAuthorization.payload: expected Unix seconds'
  const { address, signature } = bytes
  return { handle: bytes.handle, address, encryptionPubKey, notBefore, expiresAt, signature }
}

/** @returns undefined for anything but 0x and the hex of so many bytes */
export function hexBytes(value: unknown, least: number, most: number): Uint8Array | undefined {
  if (typeof value !== 'string' || value.length > 2 + 2 * most || value.length < 2 + 2 * least) return undefined
  return /^0x(?:[0-9a-fA-F]{2})*$/.test(value) ? hexToBytes(value.slice(2)) : undefined
}

const isSeconds = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
