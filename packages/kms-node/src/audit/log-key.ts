import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { equalBytes, id32, Secret } from '@tkms/dkg'
import type { RecordStore } from '../ports.ts'
import { systemRng } from '../system.ts'
import type { LogPoint } from './database.ts'

const ID = 'key'
const KEY_BYTES = 32

/** What only this node can put into its `audit.db`: made with a key from the sealed store. */
export interface LogKey {
  /** HMAC-SHA256("audit-tail" || u64 count || hash of the base || u64 count || hash of the tail): both are what this node wrote. */
  tailMac(base: LogPoint, tail: LogPoint): Uint8Array
  /** HMAC-SHA256("audit-replay" || id): what a remembered request is found by. */
  replayMac(id: Uint8Array): Uint8Array
}

/** @param bytes 32 bytes; copied */
export function createLogKey(bytes: Uint8Array): LogKey {
  const key: KeyObject = createSecretKey(id32(bytes, 'audit key'))
  const mac = (label: string, ...parts: readonly Uint8Array[]): Uint8Array =>
    Uint8Array.from(
      createHmac('sha256', key)
        .update(concatBytes(utf8ToBytes(label), ...parts))
        .digest(),
    )
  const encode = ({ count, hash }: LogPoint): Uint8Array => {
    const number = new Uint8Array(8)
    new DataView(number.buffer).setBigUint64(0, BigInt(count))
    return concatBytes(number, hash)
  }
  // A request is looked for when it comes, and once more when it is recorded.
  let last: { readonly id: Uint8Array; readonly mac: Uint8Array } | undefined
  return {
    tailMac: (base, tail) => mac('audit-tail', encode(base), encode(tail)),
    replayMac: (id) => {
      if (last === undefined || !equalBytes(last.id, id))
        last = { id: Uint8Array.from(id), mac: mac('audit-replay', id) }
      return last.mac
    },
  }
}

/** Undefined before the first start. @throws errors of the store, KmsError `bad-encoding` */
export async function readLogKey(store: RecordStore): Promise<LogKey | undefined> {
  const record = await store.get('audit', ID)
  if (record === undefined) return undefined
  try {
    return record.use(createLogKey)
  } finally {
    record.destroy()
  }
}

/** The one that is there, or a new one, sealed before it is used. @throws errors of the store */
export async function readOrMakeLogKey(store: RecordStore): Promise<LogKey> {
  const known = await readLogKey(store)
  if (known !== undefined) return known
  const secret = new Secret(systemRng.bytes(KEY_BYTES))
  try {
    await store.put('audit', ID, secret)
    return secret.use(createLogKey)
  } finally {
    secret.destroy()
  }
}
