import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { decodePublicKeyId, MAX_PUBLIC_KEY_ID_BYTES, parsePublicKeyId } from '../decrypt/public-key-id.ts'
import { REFUSAL_CODES, type RefusalCode, refusalCode, refusalStatus } from '../decrypt/refusal.ts'
import { MAX_ITEMS } from '../decrypt/request.ts'
import { dkgError } from '../errors.ts'
import { bytesKey, decodeAll, list, type Reader, u32, u64, u8, varBytes } from '../primitives/codec.ts'
import { id32, POINT_BYTES } from '../primitives/point.ts'
import type { KeyId, PointBytes, SharingId } from '../primitives/types.ts'
import type { AuditEntry, AuditGrant, AuditItem, AuditRecord, AuditRelease } from './types.ts'

const VERSION = 1
const KINDS = ['release', 'refusals', 'start', 'stop', 'policy', 'loss', 'archive'] as const
const MAX_RULES = 64
const MAX_RULE_BYTES = 32
/** More than the items and the evidence of one request can carry. */
const MAX_GRANTS = 512
const RULE = /^[a-z][a-z0-9-]{0,31}$/
const SOFTWARE_VERSION = /^[!-~]{1,64}$/
/** 256 items, 512 grants and every field at its longest. */
export const MAX_AUDIT_RECORD_BYTES: number = 96 * 1024

/**
 * u8 1 || u64 seq || u64 time || u8 kind || body, the body by kind:
 * 1 release: keyId || sharingId || u32 epoch || requestHash(32) || var requester || var principal (empty without a session)
 *   || recipientSpkiHash(32) || list(u64 chainId || handle(32) || P K || u8 0 = released or refusal number) || list(var rule)
 *   || list(var issuer || grantId(32))
 * 2 refusals: u8 refusal number || keyId(32, zero = none) || u64 since || u64 count || u32 requesters
 * 3 start: var software version; 4 stop; 5 policy: SHA-256 of the file; 6 loss; 7 archive: u64 count.
 * @throws KmsError `bad-encoding`, `bad-request`
 */
export function encodeAuditRecord(record: AuditRecord): Uint8Array {
  return concatBytes(
    u8(VERSION),
    u64(record.seq),
    u64(record.time),
    u8(KINDS.indexOf(record.kind) + 1),
    encodeEntry(record),
  )
}

function encodeEntry(entry: AuditEntry): Uint8Array {
  switch (entry.kind) {
    case 'release':
      return encodeRelease(entry)
    case 'refusals':
      return concatBytes(
        u8(refusalStatus(entry.code)),
        id32(entry.keyId, 'audit.keyId'),
        u64(entry.since),
        u64(atLeastOne(entry.count)),
        u32(entry.requesters),
      )
    case 'start':
      return varBytes(utf8ToBytes(matching(entry.version, SOFTWARE_VERSION, 'audit.version')))
    case 'policy':
      return id32(entry.fileHash, 'audit.fileHash')
    case 'archive':
      return u64(entry.count)
    case 'stop':
    case 'loss':
      return new Uint8Array(0)
  }
}

function encodeRelease(release: AuditRelease): Uint8Array {
  const { requester, principal, items, rules, grants } = release
  parsePublicKeyId(requester)
  if (principal !== undefined) parsePublicKeyId(principal)
  requireRelease(release)
  return concatBytes(
    id32(release.keyId, 'audit.keyId'),
    id32(release.sharingId, 'audit.sharingId'),
    u32(release.epoch),
    id32(release.requestHash, 'audit.requestHash'),
    varBytes(utf8ToBytes(requester)),
    varBytes(utf8ToBytes(principal ?? '')),
    id32(release.recipientSpkiHash, 'audit.recipientSpkiHash'),
    list(items, ({ chainId, handle, K, outcome }) =>
      concatBytes(
        u64(chainId),
        id32(handle, 'audit.handle'),
        requirePointBytes(K),
        u8(outcome === 'released' ? 0 : refusalStatus(outcome)),
      ),
    ),
    list(rules, (rule) => varBytes(utf8ToBytes(rule))),
    list(grants, ({ issuer, grantId }) => concatBytes(varBytes(utf8ToBytes(issuer)), id32(grantId, 'audit.grantId'))),
  )
}

/** Strict: one encoding per record. Points are not decompressed: whoever released one has checked it. @throws KmsError `bad-encoding`, `bad-request` */
export function decodeAuditRecord(bytes: Uint8Array): AuditRecord {
  if (bytes.length > MAX_AUDIT_RECORD_BYTES) throw refused('audit.record', 'is too long')
  return decodeAll(bytes, 'audit.record', (reader) => {
    if (reader.u8('audit.version') !== VERSION) throw refused('audit.version', 'is not 1')
    const seq = reader.u64('audit.seq')
    const time = reader.u64('audit.time')
    return { seq, time, ...readEntry(reader) }
  })
}

function readEntry(reader: Reader): AuditEntry {
  const kind = KINDS[reader.u8('audit.kind') - 1]
  switch (kind) {
    case 'release':
      return readRelease(reader)
    case 'refusals': {
      const code = readRefusal(reader.u8('audit.code'))
      const keyId = reader.take(32, 'audit.keyId')
      const since = reader.u64('audit.since')
      const count = atLeastOne(reader.u64('audit.count'))
      return { kind, code, keyId, since, count, requesters: reader.u32('audit.requesters') }
    }
    case 'start':
      return { kind, version: matching(readText(reader, 64, 'audit.version'), SOFTWARE_VERSION, 'audit.version') }
    case 'policy':
      return { kind, fileHash: reader.take(32, 'audit.fileHash') }
    case 'archive':
      return { kind, count: reader.u64('audit.count') }
    case 'stop':
    case 'loss':
      return { kind }
    case undefined:
      break
  }
  throw refused('audit.kind', 'is unknown')
}

function readRelease(reader: Reader): AuditRelease {
  const keyId = id32<KeyId>(reader.take(32, 'audit.keyId'), 'audit.keyId')
  const sharingId = id32<SharingId>(reader.take(32, 'audit.sharingId'), 'audit.sharingId')
  const epoch = reader.u32('audit.epoch')
  const requestHash = reader.take(32, 'audit.requestHash')
  const requester = decodePublicKeyId(reader.var(MAX_PUBLIC_KEY_ID_BYTES, 'audit.requester'))
  const principal = reader.var(MAX_PUBLIC_KEY_ID_BYTES, 'audit.principal')
  const recipientSpkiHash = reader.take(32, 'audit.recipientSpkiHash')
  const items = reader.list({ min: 1, max: MAX_ITEMS }, 'audit.items', (entry): AuditItem => {
    const chainId = entry.u64('audit.chainId')
    const handle = entry.take(32, 'audit.handle')
    const K = requirePointBytes(entry.take(POINT_BYTES, 'audit.K'))
    const status = entry.u8('audit.outcome')
    return { chainId, handle, K, outcome: status === 0 ? 'released' : readRefusal(status) }
  })
  const rules = reader.list({ min: 0, max: MAX_RULES }, 'audit.rules', (entry) =>
    readText(entry, MAX_RULE_BYTES, 'audit.rules'),
  )
  const grants = reader.list({ min: 0, max: MAX_GRANTS }, 'audit.grants', (entry): AuditGrant => {
    const issuer = decodePublicKeyId(entry.var(MAX_PUBLIC_KEY_ID_BYTES, 'audit.issuer'))
    return { issuer, grantId: entry.take(32, 'audit.grantId') }
  })
  return requireRelease({
    kind: 'release',
    keyId,
    sharingId,
    epoch,
    requestHash,
    requester,
    ...(principal.length > 0 && { principal: decodePublicKeyId(principal) }),
    recipientSpkiHash,
    items,
    rules,
    grants,
  })
}

function requireRelease<T extends AuditRelease>(release: T): T {
  const { items, rules, grants } = release
  if (items.length < 1 || items.length > MAX_ITEMS) throw refused('audit.items', `has 1 to ${MAX_ITEMS} items`)
  if (rules.length > MAX_RULES) throw refused('audit.rules', `has at most ${MAX_RULES} names`)
  for (const [at, rule] of rules.entries()) {
    matching(rule, RULE, 'audit.rules')
    if (at > 0 && rule <= (rules[at - 1] ?? '')) throw refused('audit.rules', 'is not in ascending order')
  }
  if (grants.length > MAX_GRANTS) throw refused('audit.grants', `has at most ${MAX_GRANTS} grants`)
  for (const [at, grant] of grants.entries()) {
    parsePublicKeyId(grant.issuer)
    const [before] = grants.slice(Math.max(at - 1, 0), at)
    if (before && compareAuditGrants(before, grant) >= 0) throw refused('audit.grants', 'is not in ascending order')
  }
  return release
}

/** The order of grants in a record: by issuer, then by id, byte by byte. */
export const compareAuditGrants = (left: AuditGrant, right: AuditGrant): number =>
  compareText(left.issuer, right.issuer) || compareText(bytesKey(left.grantId), bytesKey(right.grantId))
const compareText = (left: string, right: string): number => (left < right ? -1 : left > right ? 1 : 0)

function readRefusal(status: number): RefusalCode {
  const code = refusalCode(status)
  if (code === undefined) throw refused('audit.code', `is not a refusal of 1 to ${REFUSAL_CODES.length}`)
  return code
}

const readText = (reader: Reader, maxLength: number, field: string): string =>
  String.fromCharCode(...reader.var(maxLength, field))

function requirePointBytes(bytes: Uint8Array): PointBytes {
  if (bytes.length !== POINT_BYTES || (bytes[0] !== 2 && bytes[0] !== 3))
    throw refused('audit.K', 'is not a compressed point')
  return bytes as PointBytes
}

function matching(text: string, pattern: RegExp, field: string): string {
  if (!pattern.test(text)) throw refused(field, 'has characters or a length that it may not have')
  return text
}

function atLeastOne(count: number): number {
  if (count < 1) throw refused('audit.count', 'is 0')
  return count
}

const refused = (field: string, problem: string): Error =>
  dkgError('bad-encoding', `${field} ${problem}`, { data: { field } })
