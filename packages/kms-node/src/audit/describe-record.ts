import {
  type AuditGrant,
  type AuditRecord,
  bytesKey,
  decodeAuditHead,
  decodeAuditRecord,
  type SignedAuditHead,
} from '@tkms/dkg'
import type { StoredRecord } from './database.ts'

const hex = (bytes: Uint8Array): string => `0x${bytesKey(bytes)}`

/** A record as JSON: bytes as 0x and lower-case hex, times as Unix seconds. What a record does not say is left out. */
export function describeRecord(record: AuditRecord): Readonly<Record<string, unknown>> {
  const { seq, time, kind } = record
  switch (record.kind) {
    case 'release':
      return {
        seq,
        time,
        kind,
        keyId: hex(record.keyId),
        sharingId: hex(record.sharingId),
        epoch: record.epoch,
        requestHash: hex(record.requestHash),
        requester: record.requester,
        ...(record.principal !== undefined && { principal: record.principal }),
        recipientSpkiHash: hex(record.recipientSpkiHash),
        items: record.items.map(({ chainId, handle, K, outcome }) => ({
          chainId,
          handle: hex(handle),
          K: hex(K),
          outcome,
        })),
        rules: record.rules,
        grants: record.grants.map(({ issuer, grantId }) => ({ issuer, grantId: hex(grantId) })),
      }
    case 'refusals': {
      const { code, keyId, since, count, requesters } = record
      const known = keyId.some((byte) => byte !== 0)
      return { seq, time, kind, code, ...(known && { keyId: hex(keyId) }), since, count, requesters }
    }
    case 'start':
      return { seq, time, kind, version: record.version }
    case 'policy':
      return { seq, time, kind, fileHash: hex(record.fileHash) }
    case 'archive':
      return { seq, time, kind, count: record.count }
    case 'stop':
    case 'loss':
      return { seq, time, kind }
  }
}

/** What a line of an export holds: what the record says, its bytes, and the chain's hash after it. @throws KmsError `bad-encoding`, `bad-request` */
export const describeStored = ({ record, hash }: StoredRecord): Readonly<Record<string, unknown>> => ({
  ...describeRecord(decodeAuditRecord(record)),
  record: hex(record),
  hash: hex(hash),
})

/** A signed head as JSON. @throws KmsError `bad-encoding` */
export function describeHead({ head, signature }: SignedAuditHead): Readonly<Record<string, unknown>> {
  const { clusterId, index, count, hash, time } = decodeAuditHead(head)
  return {
    kind: 'head',
    clusterId: hex(clusterId),
    index,
    count,
    hash: hex(hash),
    time,
    head: hex(head),
    signature: hex(signature),
  }
}

const isoTime = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000', '')
const short = (bytes: Uint8Array): string => hex(bytes.slice(0, 4))

const grantsOf = (grants: readonly AuditGrant[]): string => {
  const named = grants.slice(0, 4).map(({ issuer, grantId }) => `${short(grantId)} of ${issuer}`)
  const more = grants.length > named.length ? [`${grants.length - named.length} more`] : []
  return grants.length === 0 ? '' : ` (grant ${[...named, ...more].join(', ')})`
}

/** A record for people, on one line. */
export function formatRecord(record: AuditRecord): string {
  const start = `${isoTime(record.time)} #${record.seq}`
  switch (record.kind) {
    case 'release': {
      const { items, requester, principal, rules, grants, epoch } = record
      const released = items.filter(({ outcome }) => outcome === 'released').length
      const who = principal === undefined ? requester : `${principal} (${requester.slice(0, 16)})`
      const handles = items.map(({ handle }) => short(handle)).slice(0, 4)
      const more = items.length > handles.length ? `, and ${items.length - handles.length} more` : ''
      return (
        `${start} release to ${who}: ${released} of ${items.length}, handle ${handles.join(', ')}${more}, ` +
        `key ${short(record.keyId)} epoch ${epoch}, by ${rules.join(' and ') || 'no rule'}${grantsOf(grants)}, request ${short(record.requestHash)}`
      )
    }
    case 'refusals': {
      const { code, count, requesters, since, keyId } = record
      const key = keyId.some((byte) => byte !== 0) ? `, key ${short(keyId)}` : ''
      return `${start} refused ${count} times since ${isoTime(since)}: ${code}${key}, ${requesters} verified requesters`
    }
    case 'start':
      return `${start} the node started, version ${record.version}`
    case 'policy':
      return `${start} policy file ${hex(record.fileHash)} decides from here on`
    case 'stop':
      return `${start} the node stopped`
    case 'loss':
      return `${start} the operator gave up the ${record.seq} records before this one`
    case 'archive':
      return `${start} the operator archived the records before #${record.count}: they are in a file, no longer here`
  }
}
