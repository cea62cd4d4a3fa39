import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { decodeAll, type Reader, Secret, u32, u8, varBytes } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { RecordKind, RecordStore } from '../ports.ts'
import { MAX_RECORD_ID_BYTES } from '../store/keyring.ts'
import { backupError } from './errors.ts'
import { MAX_BACKUP_BYTES } from './backup-file.ts'

/**
 * What of a store is in a backup. Not `ceremony` (open ceremonies and their PREPARED shares: a node that was restored may not go on with
 * them) and not `repair` (the same): both are begun anew. Not `attested`: peers prove themselves anew.
 */
export type BackedUpKind = Exclude<RecordKind, 'ceremony' | 'repair' | 'attested'>

/** How a backup names them. */
export const BACKED_UP: Readonly<Record<BackedUpKind, number>> = {
  identity: 1,
  'node-seed': 2,
  share: 4,
  approval: 5,
  tls: 6,
  pin: 7,
  sharing: 8,
  destroyed: 9,
  odometer: 10,
  destroy: 12,
  audit: 13,
}

/** Files of a data directory that are in a backup. */
export type BackedUpFile = 'node.yaml' | 'cluster.json' | 'policy.yaml' | 'card.json' | 'tls.crt'

/** How a backup names them. */
export const BACKED_UP_FILES: Readonly<Record<BackedUpFile, number>> = {
  'node.yaml': 1,
  'cluster.json': 2,
  'policy.yaml': 3,
  'card.json': 4,
  'tls.crt': 5,
}

export interface BackupRecord {
  readonly kind: BackedUpKind
  readonly id: string
  readonly value: Secret
}

export interface BackupContents {
  readonly records: readonly BackupRecord[]
  readonly files: ReadonlyMap<BackedUpFile, Uint8Array>
}

const VERSION = 1
const MAX_RECORDS = 1 << 20
export const MAX_BACKED_UP_FILE_BYTES: number = 16 * 1024 * 1024

const kindOf = new Map(Object.entries(BACKED_UP).map(([kind, code]) => [code, kind as BackedUpKind]))
const fileOf = new Map(Object.entries(BACKED_UP_FILES).map(([name, code]) => [code, name as BackedUpFile]))

const place = ({ kind, id }: Pick<BackupRecord, 'kind' | 'id'>): string =>
  `${String(BACKED_UP[kind]).padStart(3, '0')}/${Buffer.from(id).toString('hex')}`

/**
 * u8 1 || u32 count || (u8 kind || var id || var value)* || u8 count || (u8 file || var bytes)*, both in ascending order, so that there is
 * one encoding of the same content. @throws KmsError `too-large`
 */
export function encodeContents({ records, files }: BackupContents): Secret {
  const ordered = records.toSorted((left, right) => (place(left) < place(right) ? -1 : 1))
  const copies = ordered.map(({ value }) => value.use((bytes) => varBytes(bytes)))
  const named = [...files].toSorted(([left], [right]) => BACKED_UP_FILES[left] - BACKED_UP_FILES[right])
  try {
    const bytes = copies.reduce((sum, copy) => sum + copy.length, 0)
    if (bytes > MAX_BACKUP_BYTES)
      throw backupError('too-large', `a backup has at most ${MAX_BACKUP_BYTES} bytes`, { data: { bytes } })
    return new Secret(
      concatBytes(
        u8(VERSION),
        u32(ordered.length),
        ...ordered.flatMap(({ kind, id }, at) => [
          u8(BACKED_UP[kind]),
          varBytes(utf8ToBytes(id)),
          copies[at] ?? new Uint8Array(),
        ]),
        u8(named.length),
        ...named.flatMap(([name, content]) => [u8(BACKED_UP_FILES[name]), varBytes(content)]),
      ),
    )
  } finally {
    for (const copy of copies) copy.fill(0)
  }
}

/** @throws KmsError `backup-damaged`, `backup-version` */
export function decodeContents(encoded: Secret): BackupContents {
  const records: BackupRecord[] = []
  try {
    return encoded.use((bytes) => decodeAll(bytes, 'backup', (reader) => readContents(reader, records)))
  } catch (cause) {
    for (const { value } of records) value.destroy()
    if (isKmsError(cause) && cause.code === 'bad-encoding')
      throw backupError('backup-damaged', `the content of the backup does not decode: ${cause.message}`, { cause })
    throw cause
  }
}

function readContents(reader: Reader, records: BackupRecord[]): BackupContents {
  const version = reader.u8('backup.version')
  if (version !== VERSION)
    throw backupError('backup-version', `the content of the backup is of version ${version}`, { data: { version } })
  const count = reader.u32('backup.records')
  if (count > MAX_RECORDS) throw backupError('backup-damaged', 'the backup claims too many records')
  for (let at = 0; at < count; at++) {
    const kind = known(kindOf.get(reader.u8('backup.kind')), 'record')
    const id = Buffer.from(reader.var(MAX_RECORD_ID_BYTES, 'backup.id')).toString('utf8')
    const value = new Secret(reader.var(MAX_BACKUP_BYTES, 'backup.value'))
    records.push({ kind, id, value })
  }
  requireOrder(records.map(place))
  const files = new Map<BackedUpFile, Uint8Array>()
  const codes: string[] = []
  for (let left = reader.u8('backup.files'); left > 0; left--) {
    const code = reader.u8('backup.file')
    codes.push(String(code).padStart(3, '0'))
    files.set(known(fileOf.get(code), 'file'), reader.var(MAX_BACKED_UP_FILE_BYTES, 'backup.content'))
  }
  requireOrder(codes)
  return { records, files }
}

function known<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw backupError('backup-damaged', `the backup holds a ${what} of an unknown kind`)
  return value
}

function requireOrder(places: readonly string[]): void {
  if (places.some((name, at) => at > 0 && (places[at - 1] ?? '') >= name))
    throw backupError('backup-damaged', 'the content of the backup is not in order')
}

/** Wipes what this process holds of it. */
export function forgetContents({ records }: Pick<BackupContents, 'records'>): void {
  for (const { value } of records) value.destroy()
}

/** The records as a store in memory, for the checks that a node makes of its own. Changes stay in it. The values are borrowed. */
export function recordsInMemory({ records }: Pick<BackupContents, 'records'>): RecordStore {
  const name = (kind: RecordKind, id: string): string => `${kind}/${id}`
  const held = new Map<string, { readonly kind: RecordKind; readonly id: string; readonly value: Secret }>(
    records.map((record) => [name(record.kind, record.id), record]),
  )
  return {
    put: async (kind, id, plaintext) =>
      void held.set(name(kind, id), { kind, id, value: plaintext.use((bytes) => Secret.copyOf(bytes)) }),
    get: async (kind, id) => held.get(name(kind, id))?.value.use((bytes) => Secret.copyOf(bytes)),
    erase: async (kind, id) => void held.delete(name(kind, id)),
    list: async (kind) => [...held.values()].flatMap((entry) => (entry.kind === kind ? [entry.id] : [])).toSorted(),
  }
}
