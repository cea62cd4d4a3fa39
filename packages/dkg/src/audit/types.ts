import type { RefusalCode } from '../decrypt/refusal.ts'
import type { KeyId, PointBytes, SharingId } from '../primitives/types.ts'

/** Which item of a request, and what became of it. */
export interface AuditItem {
  /** 0 = none. */
  readonly chainId: number
  /** 32 bytes. */
  readonly handle: Uint8Array
  /** The point that the share was, or was not, used on. */
  readonly K: PointBytes
  /** `released`, or why this item of a batch was refused. */
  readonly outcome: 'released' | RefusalCode
}

/** A grant that a rule took for its yes. */
export interface AuditGrant {
  /** publicKeyId of who signed it. */
  readonly issuer: string
  /** 32 bytes: the issuer's name for it; of a Nox gateway's authorization its SHA-256. */
  readonly grantId: Uint8Array
}

/** A request that the share was used for, at least for one item. */
export interface AuditRelease {
  readonly kind: 'release'
  readonly keyId: KeyId
  readonly sharingId: SharingId
  readonly epoch: number
  /** TH("request", REQ), 32 bytes. */
  readonly requestHash: Uint8Array
  /** publicKeyId of the request: whose signature it carries, or "none". */
  readonly requester: string
  /** publicKeyId of who signed the session in which it was asked; absent without a session. */
  readonly principal?: string
  /** SHA-256 of the RSA key that the answer is boxed to, SPKI DER, 32 bytes. */
  readonly recipientSpkiHash: Uint8Array
  /** 1..256, in the order asked. */
  readonly items: readonly AuditItem[]
  /** Names of the policy rules that said yes, ascending, each once, at most 64. */
  readonly rules: readonly string[]
  /** What these took for it, ascending by `compareAuditGrants`, each once, at most 512. */
  readonly grants: readonly AuditGrant[]
}

/** Requests refused for one reason within one window of time: counted, never one record each. */
export interface AuditRefusals {
  readonly kind: 'refusals'
  readonly code: RefusalCode
  /** 32 zero bytes: for no key that this node has, or refused before it was clear for which. */
  readonly keyId: Uint8Array
  /** Unix seconds: when the window began. It ended with the record's time. */
  readonly since: number
  /** At least 1. */
  readonly count: number
  /** Different requesters whose signatures verified, as far as they were told apart. */
  readonly requesters: number
}

/** The node began to serve. */
export interface AuditStart {
  readonly kind: 'start'
  /** Of its software: 1 to 64 printable ASCII characters. */
  readonly version: string
}

/** The node was stopped in an orderly way. */
export interface AuditStop {
  readonly kind: 'stop'
}

/** From here on this policy file decides. */
export interface AuditPolicy {
  readonly kind: 'policy'
  /** SHA-256 of the file, 32 bytes. */
  readonly fileHash: Uint8Array
}

/** The operator gave up the records before this one: the node does not have them any more. */
export interface AuditLoss {
  readonly kind: 'loss'
}

/** The operator archived the records before number `count`: they are in a file, and the node does not keep them any more. */
export interface AuditArchive {
  readonly kind: 'archive'
  /** At most the number of this record. */
  readonly count: number
}

export type AuditEntry = AuditRelease | AuditRefusals | AuditStart | AuditStop | AuditPolicy | AuditLoss | AuditArchive

/** One link of a node's audit log. */
export type AuditRecord = AuditEntry & {
  /** 0, 1, 2, ... */
  readonly seq: number
  /** Unix seconds by the node's clock; may go back where the clock did. */
  readonly time: number
}
