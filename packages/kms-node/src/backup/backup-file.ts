import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { sha256 } from '@noble/hashes/sha2.js'
import {
  bytesKey,
  type ClusterId,
  decodeAll,
  decodeNodePublicKey,
  equalBytes,
  id32,
  type KeyId,
  list,
  type NodePublicKey,
  Reader,
  type SharingId,
  SIGNATURE_BYTES,
  type SignMessage,
  signTagged,
  u32,
  u64,
  u8,
  varBytes,
  verifyEd25519,
  verifyTagged,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import { backupError } from './errors.ts'

/** A key whose ACTIVE share is in the backup. */
export interface BackedUpKey {
  readonly keyId: KeyId
  readonly keyName: string
  /** u32. */
  readonly generation: number
  /** u32. */
  readonly epoch: number
  /** u32. */
  readonly attempt: number
  readonly sharingId: SharingId
}

/** What anybody can read of a backup, signed by the node that it is of. */
export interface BackupHeader {
  readonly clusterId: ClusterId
  /** Of the genesis committee, 32 bytes. */
  readonly configHash: Uint8Array
  readonly publicKey: NodePublicKey
  readonly nodeName: string
  /** Unix milliseconds. */
  readonly createdAtMs: number
  /** Ascending by keyId. */
  readonly keys: readonly BackedUpKey[]
}

export interface BackupFile {
  readonly header: BackupHeader
  /** The age file. */
  readonly sealed: Uint8Array
}

const MAGIC = utf8ToBytes('tkms/bkp')
const VERSION = 1
const TAG = 'backup'
const MAX_NAME_BYTES = 64
const MAX_KEYS = 4096
/** A header names at most 4096 keys. */
const MAX_HEADER_BYTES = 1024 * 1024
/** So much of a file is enough to read its header. */
export const BACKUP_HEAD_BYTES: number = MAGIC.length + 1 + 4 + MAX_HEADER_BYTES + SIGNATURE_BYTES
export const MAX_BACKUP_BYTES: number = 64 * 1024 * 1024

/**
 * "tkms/bkp" || u8 1 || var HEADER || signature(64) || age file.
 * HEADER = clusterId(32) || configHash(32) || Ed25519 key(32) || var name || u64 Unix milliseconds ||
 * list(keyId(32) || var name || u32 generation || u32 epoch || u32 attempt || sharingId(32)) || u32 length and SHA-256(32) of the age file.
 * The signature is the node's, tag "backup", over HEADER.
 */
export function encodeBackupFile(sign: SignMessage, { header, sealed }: BackupFile): Uint8Array {
  const bytes = encodeHeader(header, sealed)
  const file = concatBytes(MAGIC, u8(VERSION), varBytes(bytes), signTagged(sign, TAG, bytes), sealed)
  if (bytes.length > MAX_HEADER_BYTES || file.length > MAX_BACKUP_BYTES)
    throw backupError('too-large', `a backup has at most ${MAX_BACKUP_BYTES} bytes`, { data: { bytes: file.length } })
  return file
}

/**
 * The header of a backup by its first bytes; whether the rest is whole is not looked at.
 * @param bytes at least the first `BACKUP_HEAD_BYTES` of the file, or all of it
 * @throws KmsError `backup-damaged`, `backup-version`
 */
export const readBackupHeader = (bytes: Uint8Array): BackupHeader => readHead(bytes).header

/** @throws KmsError `backup-damaged`, `backup-version` */
export function decodeBackupFile(bytes: Uint8Array): BackupFile {
  const { header, headBytes, sealedBytes, sealedHash } = readHead(bytes)
  const sealed = bytes.subarray(headBytes)
  if (sealed.length < sealedBytes) throw damaged('it ends too early: it was cut short')
  if (sealed.length > sealedBytes || !equalBytes(sha256(sealed), sealedHash))
    throw damaged('its content is not what the node that wrote it signed')
  return { header, sealed }
}

const damaged = (why: string, cause?: unknown): Error =>
  backupError('backup-damaged', `this is not a whole backup: ${why}`, { cause })

interface Head {
  readonly header: BackupHeader
  readonly headBytes: number
  readonly sealedBytes: number
  readonly sealedHash: Uint8Array
}

function readHead(bytes: Uint8Array): Head {
  try {
    const reader = new Reader(bytes.subarray(0, BACKUP_HEAD_BYTES))
    if (!equalBytes(reader.take(MAGIC.length, 'magic'), MAGIC)) throw damaged('it does not begin like one')
    const version = reader.u8('version')
    if (version !== VERSION)
      throw backupError('backup-version', `this backup is of version ${version}, this program reads ${VERSION}`, {
        data: { version },
      })
    const encoded = reader.var(MAX_HEADER_BYTES, 'header')
    const signature = reader.take(SIGNATURE_BYTES, 'signature')
    const head = decodeAll(encoded, 'header', readFields)
    if (!verifyTagged(verifyEd25519, head.header.publicKey, TAG, encoded, signature))
      throw damaged('its header is not what the node that wrote it signed')
    return { ...head, headBytes: MAGIC.length + 1 + 4 + encoded.length + SIGNATURE_BYTES }
  } catch (cause) {
    if (isKmsError(cause) && (cause.code === 'bad-encoding' || cause.code === 'bad-config'))
      throw damaged(cause.message, cause)
    throw cause
  }
}

function encodeHeader(header: BackupHeader, sealed: Uint8Array): Uint8Array {
  return concatBytes(
    header.clusterId,
    header.configHash,
    header.publicKey,
    varBytes(utf8ToBytes(header.nodeName)),
    u64(header.createdAtMs),
    list(header.keys, ({ keyId, keyName, generation, epoch, attempt, sharingId }) =>
      concatBytes(keyId, varBytes(utf8ToBytes(keyName)), u32(generation), u32(epoch), u32(attempt), sharingId),
    ),
    u32(sealed.length),
    sha256(sealed),
  )
}

function readFields(reader: Reader): Omit<Head, 'headBytes'> {
  const text = (field: string): string => Buffer.from(reader.var(MAX_NAME_BYTES, field)).toString('utf8')
  const take = <T extends Uint8Array>(field: string): T => id32<T>(reader.take(32, field), field)
  const header = {
    clusterId: take<ClusterId>('header.clusterId'),
    configHash: reader.take(32, 'header.configHash'),
    publicKey: decodeNodePublicKey(reader.take(32, 'header.publicKey')),
    nodeName: text('header.nodeName'),
    createdAtMs: reader.u64('header.createdAtMs'),
    keys: reader.list({ min: 0, max: MAX_KEYS }, 'header.keys', (item) => ({
      keyId: take<KeyId>('header.keys.keyId'),
      keyName: text('header.keys.keyName'),
      generation: item.u32('header.keys.generation'),
      epoch: item.u32('header.keys.epoch'),
      attempt: item.u32('header.keys.attempt'),
      sharingId: take<SharingId>('header.keys.sharingId'),
    })),
  }
  if (header.keys.some(({ keyId }, at) => at > 0 && bytesKey(header.keys[at - 1]?.keyId ?? keyId) >= bytesKey(keyId)))
    throw damaged('its keys are not in order')
  return {
    header,
    sealedBytes: reader.u32('header.sealedBytes'),
    sealedHash: reader.take(32, 'header.sealedHash'),
  }
}
