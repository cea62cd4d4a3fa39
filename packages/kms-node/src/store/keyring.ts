import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { decodeAll, type Reader, Secret, u32, u8, varBytes } from '@tkms/dkg'
import type { RecordKind } from '../ports.ts'
import { KEY_BYTES } from './aead.ts'
import { storeError } from './errors.ts'

const KEYRING_VERSION = 1
const FILE_ID_BYTES = 16
const MAX_RECORDS = 1 << 20
const KIND_CODES: Readonly<Record<RecordKind, number>> = {
  identity: 1,
  'node-seed': 2,
  ceremony: 3,
  share: 4,
  approval: 5,
  tls: 6,
  pin: 7,
  sharing: 8,
  destroyed: 9,
  odometer: 10,
  repair: 11,
  destroy: 12,
  audit: 13,
  attested: 14,
}
const KINDS = new Map(Object.entries(KIND_CODES).map(([kind, code]) => [code, kind as RecordKind]))

export const MAX_RECORD_ID_BYTES = 256

export interface KeyringEntry {
  readonly kind: RecordKind
  /** At most 256 bytes of UTF-8. */
  readonly id: string
  /** 32 lower-case hex digits: the name of the file of the current version. */
  readonly file: string
  /** The data key of this version, 32 bytes. */
  readonly dek: Secret
}

/** Record name -> its current version. Never changed in place: a commit swaps the whole map. */
export type Keyring = ReadonlyMap<string, KeyringEntry>

export const recordName = (kind: RecordKind, id: string): string => `${kind}/${id}`

/** u8 1 || u32 count || (u8 kind || var id || file(16) || dek(32))*. */
export function encodeKeyring(keyring: Keyring): Secret {
  const parts: Uint8Array[] = [u8(KEYRING_VERSION), u32(keyring.size)]
  const copies: Uint8Array[] = []
  for (const entry of keyring.values()) {
    const dek = entry.dek.use((bytes) => bytes.slice())
    copies.push(dek)
    parts.push(u8(KIND_CODES[entry.kind]), varBytes(utf8ToBytes(entry.id)), Buffer.from(entry.file, 'hex'), dek)
  }
  const encoded = new Secret(concatBytes(...parts))
  for (const copy of copies) copy.fill(0)
  return encoded
}

/** Reads a keyring, and wipes its encoding. @throws KmsError `store-corrupt` */
export function takeKeyring(plaintext: Secret): Keyring {
  try {
    const entries = plaintext.use((bytes) => decodeAll(bytes, 'keyring', readEntries))
    const keyring = new Map(entries.map((entry) => [recordName(entry.kind, entry.id), entry]))
    if (keyring.size !== entries.length) throw storeError('store-corrupt', 'the keyring names a record twice')
    return keyring
  } catch (cause) {
    throw storeError('store-corrupt', 'the keyring does not decode', { cause })
  } finally {
    plaintext.destroy()
  }
}

function readEntries(reader: Reader): KeyringEntry[] {
  const version = reader.u8('keyring.version')
  const count = reader.u32('keyring.count')
  if (version !== KEYRING_VERSION || count > MAX_RECORDS)
    throw storeError('store-corrupt', 'the keyring is of another version', { data: { version } })
  return Array.from({ length: count }, () => readEntry(reader))
}

function readEntry(reader: Reader): KeyringEntry {
  const kind = KINDS.get(reader.u8('keyring.kind'))
  if (kind === undefined) throw storeError('store-corrupt', 'the keyring holds a record of an unknown kind')
  const id = Buffer.from(reader.var(MAX_RECORD_ID_BYTES, 'keyring.id')).toString('utf8')
  const file = bytesToHex(reader.take(FILE_ID_BYTES, 'keyring.file'))
  return { kind, id, file, dek: new Secret(reader.take(KEY_BYTES, 'keyring.dek')) }
}
