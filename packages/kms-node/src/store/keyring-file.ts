import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { attempt, Reader, u64, u8 } from '@tkms/dkg'
import { storeError } from './errors.ts'

export const STORE_ID_BYTES = 32
const PLAIN = 1
const COUNTED = 2

/** The one file whose exchange commits a change. */
export interface KeyringFile {
  /** 32 bytes. */
  readonly storeId: Uint8Array
  /** What the sealer's counter must say; undefined where the sealer has none. */
  readonly count: number | undefined
  readonly sealed: Uint8Array
}

/** "TKMS/1/keyring" || 0 || store id, and u64 count where there is one: what the sealed keyring belongs to. */
export const keyringAad = (storeId: Uint8Array, count: number | undefined): Uint8Array =>
  concatBytes(utf8ToBytes('TKMS/1/keyring'), u8(0), storeId, ...(count === undefined ? [] : [u64(count)]))

/** u8 1 || store id || sealed, or u8 2 || store id || u64 count || sealed. */
export const encodeKeyringFile = ({ storeId, count, sealed }: KeyringFile): Uint8Array =>
  count === undefined ? concatBytes(u8(PLAIN), storeId, sealed) : concatBytes(u8(COUNTED), storeId, u64(count), sealed)

/** @throws KmsError `store-corrupt` */
export function parseKeyringFile(bytes: Uint8Array): KeyringFile {
  const file = attempt((): KeyringFile | undefined => {
    const reader = new Reader(bytes)
    const version = reader.u8('keyringFile.version')
    if (version !== PLAIN && version !== COUNTED) return undefined
    const storeId = reader.take(STORE_ID_BYTES, 'keyringFile.storeId')
    const count = version === COUNTED ? reader.u64('keyringFile.count') : undefined
    const start = 1 + STORE_ID_BYTES + (count === undefined ? 0 : 8)
    return { storeId, count, sealed: bytes.subarray(start) }
  })
  if (file === undefined) throw storeError('store-corrupt', 'the keyring file is damaged or of another version')
  return file
}
