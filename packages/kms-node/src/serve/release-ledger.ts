import type { AuditRelease, RefusalCode } from '@tkms/dkg'

/** A request that is about to be answered. */
export interface ReleaseEntry {
  readonly release: AuditRelease
  /** 32 bytes, the requester's name for the request: together with `release.requester` it is answered once. */
  readonly requestId: Uint8Array
  /** Where it came from (`callerOf`): an unsigned request counts for its address, since it names nobody. */
  readonly address: string
  /** Unix seconds: when it can no longer be asked again. */
  readonly expiresAt: number
  /** Asked at the commit: whether the rules that decided are still in force. */
  readonly holds: () => boolean
}

/** `replayed`: it was answered before. `full`: no more requests can be remembered. `outdated`: it holds no more. `unavailable`: it could not be written. */
export type ReleaseOutcome = 'recorded' | 'replayed' | 'full' | 'outdated' | 'unavailable'

/** A request, or what of it could be read, that got nothing. */
export interface RefusedRequest {
  readonly code: RefusalCode
  /** Of a key that this node has; absent where that is not clear. */
  readonly keyId?: Uint8Array
  /** publicKeyId whose signature verified. */
  readonly requester?: string
}

/** What answers are written down in before they leave, so that each is given once and can be shown afterwards. */
export interface ReleaseLedger {
  /** Whether the request was answered before. Cheap: `record` decides. */
  seen(requester: string, requestId: Uint8Array): boolean
  /** On disk, durably, once it resolves to `recorded`. Of two identical requests one is recorded. Never rejects. */
  record(entry: ReleaseEntry): Promise<ReleaseOutcome>
  /** Counted, and written down as a number per minute. */
  refused(request: RefusedRequest): void
}
