import { createPrivateKey } from 'node:crypto'
import { bytesKey, Reader, type VerifiedKey } from '@tkms/dkg'
import { loadNodeConfig, type NodeConfig, type RecordKind, withNodeStore } from '@tkms/kms-node'
import type { KnownSecret } from './leak-search.ts'

const KINDS: readonly RecordKind[] = [
  'identity',
  'node-seed',
  'ceremony',
  'share',
  'approval',
  'tls',
  'pin',
  'sharing',
  'destroyed',
  'odometer',
  'repair',
  'destroy',
  'attested',
]

export interface UnsealedRecord {
  readonly kind: RecordKind
  readonly id: string
  readonly bytes: Uint8Array
}

/** Every record of a stopped node that can still be decrypted, opened with its own sealer. @param node its data directory, or what was read there */
export async function unsealStore(
  node: string | NodeConfig,
  env: Readonly<Record<string, string>> = {},
): Promise<readonly UnsealedRecord[]> {
  const config = typeof node === 'string' ? await loadNodeConfig({ directory: node, env }) : node
  return withNodeStore(config, { ...env }, async (store) => {
    const records: UnsealedRecord[] = []
    for (const kind of KINDS)
      for (const id of await store.list(kind)) {
        const record = await store.get(kind, id)
        if (record === undefined) continue
        records.push({ kind, id, bytes: record.use((bytes) => Uint8Array.from(bytes)) })
        record.destroy()
      }
    return records
  })
}

/** The one record of a kind. */
export function onlyRecord(records: readonly UnsealedRecord[], kind: RecordKind): Uint8Array {
  const [record, ...more] = records.filter((candidate) => candidate.kind === kind)
  if (record === undefined || more.length > 0) throw new Error(`there is no single record of kind ${kind}`)
  return record.bytes
}

/** The share of `key`, out of its record: u8 1 || var CERT || u8 1 || share(32). */
export function shareIn(records: readonly UnsealedRecord[], key: VerifiedKey): Uint8Array {
  const record = records.find(({ kind, id }) => kind === 'share' && id === bytesKey(key.sharingId))
  if (record === undefined) throw new Error('the store holds no share of the key')
  return record.bytes.slice(-32)
}

/** The points A_i that each dealer committed to, out of the archive of a ceremony: var CERT || list(u16 dealer || hash(32) || var DEAL). */
export function commitmentsIn(
  records: readonly UnsealedRecord[],
  key: VerifiedKey,
): ReadonlyMap<number, readonly Uint8Array[]> {
  const record = records.find(({ id }) => id === `${bytesKey(key.ceremony)}.archive`)
  if (record === undefined) throw new Error('the store holds no archive of the ceremony')
  const maxBytes = record.bytes.length
  const archive = new Reader(record.bytes)
  archive.var(maxBytes, 'CERT')
  const dealings = archive.list({ min: 0, max: key.config.n }, 'dealings', (item) => {
    const dealer = item.u16('dealer')
    item.take(32, 'dealHash')
    const deal = new Reader(new Reader(item.var(maxBytes, 'DEAL')).var(maxBytes, 'DEAL.body'))
    deal.take(MESSAGE_HEADER_BYTES + 32 + 32, 'msgHdr || sid || nonce')
    const points = deal.list({ min: key.t, max: key.t }, 'A', (entry) => entry.take(33, 'A[k]'))
    return [dealer, points] as const
  })
  return new Map(dealings)
}

const MESSAGE_HEADER_BYTES = 40

/** The private key of the TLS certificate: the scalar, and the line of the PEM form that holds most of it (PKCS#8, P-256). */
export function tlsSecrets(name: string, record: Uint8Array): readonly KnownSecret[] {
  const text = Buffer.from(record).toString('latin1')
  const [pem = '', body = ''] = /-----BEGIN PRIVATE KE[Y]-----\s([^-]+)-----END PRIVATE KEY-----/.exec(text) ?? []
  const { d = '' } = createPrivateKey(pem).export({ format: 'jwk' })
  const [, line = ''] = body.split('\n')
  return [
    { name: `${name} TLS key`, bytes: Buffer.from(d, 'base64url') },
    { name: `${name} TLS key, line of PEM`, bytes: Buffer.from(line, 'base64') },
  ]
}
