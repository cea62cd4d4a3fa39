import { ed25519 } from '@noble/curves/ed25519.js'
import {
  type AuditItem,
  auditGenesis,
  auditHash,
  type AuditRecord,
  encodeAuditRecord,
  formatPublicKeyId,
  nobleCurve,
  participantIndex,
  refusalStatus,
  signAuditHead,
  type VerifiedKey,
} from '@tkms/dkg'
import { goldenMembers } from './ceremony.ts'
import { fixed, fixedSecret, hex } from './fixed.ts'

const TIME = 1_800_000_000

function auditRecords(key: VerifiedKey): readonly AuditRecord[] {
  const requester = formatPublicKeyId({ kind: 'ed25519', key: ed25519.getPublicKey(fixed('requester')) })
  const item = (name: string, outcome: AuditItem['outcome']): AuditItem => ({
    chainId: 421_614,
    handle: fixed('audit', 'handle', name),
    K: nobleCurve.mulBaseSecret(fixedSecret('audit', 'k', name)),
    outcome,
  })
  const release = {
    kind: 'release',
    keyId: key.keyId,
    sharingId: key.sharingId,
    epoch: key.epoch,
    recipientSpkiHash: fixed('audit', 'spki'),
  } as const
  const session = formatPublicKeyId({ kind: 'session', hash: fixed('audit', 'session') })
  const principal = formatPublicKeyId({ kind: 'eip712', address: fixed('audit', 'wallet').slice(0, 20) })
  return [
    { seq: 0, time: TIME, kind: 'start', version: '0.1.0' },
    { seq: 1, time: TIME, kind: 'policy', fileHash: fixed('audit', 'policy') },
    {
      seq: 2,
      time: TIME + 1,
      ...release,
      requestHash: fixed('audit', 'request', 1),
      requester,
      items: [item('one', 'released')],
      rules: ['owner'],
      grants: [],
    },
    {
      seq: 3,
      time: TIME + 2,
      ...release,
      requestHash: fixed('audit', 'request', 2),
      requester: session,
      principal,
      items: [item('two', 'not-allowed'), item('three', 'released')],
      rules: ['grant', 'onchain'],
      grants: [
        { issuer: requester, grantId: fixed('audit', 'grant', 1) },
        { issuer: principal, grantId: fixed('audit', 'grant', 2) },
      ],
    },
    {
      seq: 4,
      time: TIME + 60,
      kind: 'refusals',
      code: 'not-allowed',
      keyId: key.keyId,
      since: TIME,
      count: 1234,
      requesters: 7,
    },
    { seq: 5, time: TIME + 61, kind: 'stop' },
    { seq: 6, time: TIME + 99, kind: 'loss' },
    { seq: 7, time: TIME + 120, kind: 'archive', count: 7 },
  ]
}

/** What the second implementation must read out of a record. */
function fieldsOf(record: AuditRecord): object {
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
        principal: record.principal ?? '',
        recipientSpkiHash: hex(record.recipientSpkiHash),
        items: record.items.map(({ chainId, handle, K, outcome }) => ({
          chainId,
          handle: hex(handle),
          K: hex(K),
          status: outcome === 'released' ? 0 : refusalStatus(outcome),
        })),
        rules: record.rules,
        grants: record.grants.map(({ issuer, grantId }) => ({ issuer, grantId: hex(grantId) })),
      }
    case 'refusals': {
      const { code, keyId, since, count, requesters } = record
      return { seq, time, kind, code: refusalStatus(code), keyId: hex(keyId), since, count, requesters }
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

/** The log of golden member 2: every kind of record, chained, with the head that it signs. */
export function auditDocument(key: VerifiedKey): object {
  const index = participantIndex(2)
  const member = goldenMembers.find((candidate) => candidate.index === index)
  if (member === undefined) throw new Error('not a golden member')
  const { clusterId } = key.config
  const genesis = auditGenesis({ clusterId, index, publicKey: member.publicKey })
  let hash = genesis
  const records = auditRecords(key).map((record) => {
    const bytes = encodeAuditRecord(record)
    hash = auditHash(hash, bytes)
    return { fields: fieldsOf(record), record: hex(bytes), hash: hex(hash) }
  })
  const time = TIME + 100
  const { head, signature } = signAuditHead(member.sign, { clusterId, index, count: records.length, hash, time })
  return { index, genesis: hex(genesis), records, time, head: hex(head), signature: hex(signature) }
}
