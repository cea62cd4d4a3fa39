import { concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, type Reader, u64, u8, varBytes } from '../primitives/codec.ts'
import { POINT_BYTES } from '../primitives/point.ts'
import { MAX_SIGNATURE_BYTES } from './authorization.ts'
import type { TypedData } from './eip712.ts'
import { ETHEREUM_SIGNATURE_BYTES } from './ethereum-signature.ts'
import { formatHex } from './json.ts'
import { MAX_SPKI_BYTES } from './request.ts'

/**
 * What the Nox protocol signs, carried as the `grant` of a v1 item. Signed are the hexadecimal texts exactly as they were sent, prefix
 * and letter case included, so they travel as text.
 */
export interface NoxAuthorization {
  readonly chainId: number
  /** The gateway's DelegateAuthorization: 66 hex digits of a compressed point, "0x" before them or not. */
  readonly ephemeralPubKey: string
  /** The same: hex of the RSA key to which the shared secret goes, SPKI DER. */
  readonly targetPubKey: string
  /** r || s || v, 65 bytes. */
  readonly signature: Uint8Array
  readonly user?: NoxUserAuthorization
}

/** The user's DataAccessAuthorization. */
export interface NoxUserAuthorization {
  /** 20 bytes. */
  readonly address: Uint8Array
  /** Hex of the user's RSA key, SPKI DER. */
  readonly encryptionPubKey: string
  /** Unix seconds. */
  readonly notBefore: number
  readonly expiresAt: number
  /** 65 bytes of a key, or what the user's contract wallet takes, at most 512. */
  readonly signature: Uint8Array
}

/** The first byte: our own grants begin with a length below 2^24, so with zero. */
const KIND = 0x4e
const VERSION = 1
const ADDRESS_BYTES = 20
const HEX = /^(?:0x)?((?:[0-9a-fA-F]{2})+)$/

/**
 * u8 0x4e || u8 1 || u64 chainId || var ephemeralPubKey || var targetPubKey || var signature
 * || u8 0 | (u8 1 || address(20) || var encryptionPubKey || u64 notBefore || u64 expiresAt || var signature).
 * @throws KmsError `bad-request`, `bad-encoding`
 */
export function encodeNoxAuthorization(authorization: NoxAuthorization): Uint8Array {
  const { chainId, ephemeralPubKey, targetPubKey, signature, user } = requireWellFormed(authorization)
  const texts = [ephemeralPubKey, targetPubKey].map((text) => varBytes(utf8ToBytes(text)))
  const head = concatBytes(u8(KIND), u8(VERSION), u64(chainId), ...texts, varBytes(signature))
  if (user === undefined) return concatBytes(head, u8(0))
  return concatBytes(
    head,
    u8(1),
    user.address,
    varBytes(utf8ToBytes(user.encryptionPubKey)),
    u64(user.notBefore),
    u64(user.expiresAt),
    varBytes(user.signature),
  )
}

/** What the gateway's wallet signed. */
export const noxDelegateTypedData = ({
  chainId,
  ephemeralPubKey,
  targetPubKey,
}: Pick<NoxAuthorization, 'chainId' | 'ephemeralPubKey' | 'targetPubKey'>): TypedData => ({
  domain: { name: 'ProtocolDelegate', version: '1', chainId },
  types: {
    DelegateAuthorization: [
      { name: 'ephemeralPubKey', type: 'string' },
      { name: 'targetPubKey', type: 'string' },
    ],
  },
  primaryType: 'DelegateAuthorization',
  message: { ephemeralPubKey, targetPubKey },
})

/** What the user's wallet signed. @param domain.contract the NoxCompute contract, 0x and 40 hex digits */
export const noxDataAccessTypedData = (
  { address, encryptionPubKey, notBefore, expiresAt }: Omit<NoxUserAuthorization, 'signature'>,
  { chainId, contract }: { readonly chainId: number; readonly contract: string },
): TypedData => ({
  domain: { name: 'Handle Gateway', version: '1', chainId, verifyingContract: contract as `0x${string}` },
  types: {
    DataAccessAuthorization: [
      { name: 'userAddress', type: 'address' },
      { name: 'encryptionPubKey', type: 'string' },
      { name: 'notBefore', type: 'uint256' },
      { name: 'expiresAt', type: 'uint256' },
    ],
  },
  primaryType: 'DataAccessAuthorization',
  message: { userAddress: formatHex(address), encryptionPubKey, notBefore, expiresAt },
})

/** Whether these bytes are meant as a Nox authorization: whatever else stands in a v1 item is a grant of ours. */
export const isNoxAuthorization = (bytes: Uint8Array): boolean => bytes[0] === KIND

/** Strict; no signature is verified, and no point decoded. @throws KmsError `bad-encoding`, `bad-request` */
export function decodeNoxAuthorization(bytes: Uint8Array): NoxAuthorization {
  return decodeAll(bytes, 'nox', (reader) => {
    if (reader.u8('nox.kind') !== KIND || reader.u8('nox.version') !== VERSION)
      throw dkgError('bad-request', 'not a Nox authorization of version 1')
    const chainId = reader.u64('nox.chainId')
    const ephemeralPubKey = readText(reader, 2 + 2 * POINT_BYTES, 'nox.ephemeralPubKey')
    const targetPubKey = readText(reader, 2 + 2 * MAX_SPKI_BYTES, 'nox.targetPubKey')
    const signature = reader.var(ETHEREUM_SIGNATURE_BYTES, 'nox.signature')
    const user = readUser(reader)
    return requireWellFormed({ chainId, ephemeralPubKey, targetPubKey, signature, ...(user && { user }) })
  })
}

/** The bytes behind one of the texts. @throws KmsError `bad-request` */
export function noxHexBytes(text: string): Uint8Array {
  const digits = HEX.exec(text)?.[1]
  if (digits === undefined) throw dkgError('bad-request', 'a key of Nox is written in hexadecimal digits')
  return hexToBytes(digits)
}

function readUser(reader: Reader): NoxUserAuthorization | undefined {
  const present = reader.u8('nox.user')
  if (present === 0) return undefined
  if (present !== 1) throw dkgError('bad-encoding', 'nox.user is 0 or 1', { data: { field: 'nox.user' } })
  const address = reader.take(ADDRESS_BYTES, 'nox.user.address')
  const encryptionPubKey = readText(reader, 2 + 2 * MAX_SPKI_BYTES, 'nox.user.encryptionPubKey')
  const notBefore = reader.u64('nox.user.notBefore')
  const expiresAt = reader.u64('nox.user.expiresAt')
  return {
    address,
    encryptionPubKey,
    notBefore,
    expiresAt,
    signature: reader.var(MAX_SIGNATURE_BYTES, 'nox.user.signature'),
  }
}

const readText = (reader: Reader, maxLength: number, field: string): string =>
  String.fromCharCode(...reader.var(maxLength, field))

function requireWellFormed(authorization: NoxAuthorization): NoxAuthorization {
  const { ephemeralPubKey, targetPubKey, signature, user } = authorization
  if (noxHexBytes(ephemeralPubKey).length !== POINT_BYTES)
    throw dkgError('bad-request', 'an ephemeral key of Nox is a compressed point')
  if (noxHexBytes(targetPubKey).length > MAX_SPKI_BYTES) throw dkgError('bad-request', 'an RSA key of Nox is too long')
  if (signature.length !== ETHEREUM_SIGNATURE_BYTES)
    throw dkgError('bad-request', 'the signature of a Nox gateway has 65 bytes')
  if (user !== undefined) requireUser(user)
  return authorization
}

function requireUser({ address, encryptionPubKey, signature }: NoxUserAuthorization): void {
  if (address.length !== ADDRESS_BYTES) throw dkgError('bad-request', 'an Ethereum address has 20 bytes')
  if (noxHexBytes(encryptionPubKey).length > MAX_SPKI_BYTES)
    throw dkgError('bad-request', 'an RSA key of Nox is too long')
  if (signature.length > MAX_SIGNATURE_BYTES) throw dkgError('bad-request', 'the signature of a Nox user is too long')
}
