export {
  AUDIT_HEAD_BYTES,
  type AuditHead,
  type AuditOwner,
  auditGenesis,
  auditHash,
  decodeAuditHead,
  encodeAuditHead,
  signAuditHead,
  type SignedAuditHead,
  verifyAuditHead,
} from './head.ts'
export { compareAuditGrants, decodeAuditRecord, encodeAuditRecord, MAX_AUDIT_RECORD_BYTES } from './record.ts'
export type {
  AuditArchive,
  AuditEntry,
  AuditGrant,
  AuditItem,
  AuditLoss,
  AuditPolicy,
  AuditRecord,
  AuditRefusals,
  AuditRelease,
  AuditStart,
  AuditStop,
} from './types.ts'
