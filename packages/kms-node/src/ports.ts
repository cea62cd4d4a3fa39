import type { Secret } from '@tkms/dkg'

/** The doors of a node to the world. `node.ts` wires them; everything else takes what it needs as a parameter. */

export interface Clock {
  /** Wall clock, Unix milliseconds: requests, certificates, logs. */
  nowMs(): number
  /** Never jumps: timers and latencies. */
  monotonicMs(): number
}

export interface Rng {
  /** Fresh bytes from the operating system. */
  bytes(length: number): Uint8Array
}

/** A number that only grows, kept where whoever puts an old disk back cannot put it back with it. */
export interface MonotonicCounter {
  /** Its value, a safe integer. @throws KmsError `rollback-detected` when it is gone */
  read(): Promise<number>
  /** Adds one, durably. @returns its value afterwards */
  increment(): Promise<number>
  /**
   * Makes the counter of a new store, which lies outside of it.
   * @param note keeps, durably, what `discard` finds it by; called before anything is made, and again for another place
   */
  create(note: (place: Uint8Array) => Promise<void>): Promise<void>
  /** Removes what `create` made for a store that never came to be; whatever else is in that place stays. @param place as it was noted */
  discard(place: Uint8Array): Promise<void>
  /** Removes the one of the store whose keyring was unsealed last: that store never opens again. @throws KmsError of the sealer */
  remove(): Promise<void>
}

/** Protects the keyring at rest. Never replaced silently by another. */
export interface Sealer {
  readonly provider: string
  /** Of the store whose keyring was unsealed last; reading it before anything was unsealed makes the one of a new store. */
  readonly counter?: MonotonicCounter
  /** @param aad what the sealed bytes belong to; unsealing under another fails */
  seal(plaintext: Secret, aad: Uint8Array): Promise<Uint8Array>
  /** @throws KmsError `unseal-failed` */
  unseal(sealed: Uint8Array, aad: Uint8Array): Promise<Secret>
}

/** Proves to others what code runs here. Never replaced silently by another provider. */
export interface Attester {
  readonly provider: AttestationProvider
  /**
   * @param reportData 64 bytes that the quote signs
   * @returns the quote as the platform signed it; undefined where the provider is `none`
   * @throws KmsError `attestation-unavailable`, also when `signal` is aborted or the provider takes too long
   */
  quote(reportData: Uint8Array, signal: AbortSignal): Promise<Uint8Array | undefined>
}

/** `tdx`: configfs-tsm of the kernel; `dstack`: the guest agent; `simulated`: a key of a test chain, development only. */
export type AttestationProvider = 'none' | 'simulated' | 'tdx' | 'dstack'

export type RecordKind =
  | 'identity'
  | 'node-seed'
  | 'ceremony'
  | 'share'
  | 'approval'
  | 'tls'
  | 'pin'
  | 'sharing'
  | 'destroyed'
  | 'odometer'
  | 'repair'
  | 'destroy'
  | 'audit'
  | 'attested'

/**
 * Sealed records, each version under its own random data key. A resolved `put` is durable (file and directory fsynced),
 * and the version before it can no longer be decrypted; `erase` removes the data key first.
 */
export interface RecordStore {
  put(kind: RecordKind, id: string, plaintext: Secret): Promise<void>
  get(kind: RecordKind, id: string): Promise<Secret | undefined>
  erase(kind: RecordKind, id: string): Promise<void>
  list(kind: RecordKind): Promise<readonly string[]>
}
