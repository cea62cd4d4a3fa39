import { bytesKey, type CeremonyPhase, ceremonyId, type Fault, type KeygenSpec } from '@tkms/dkg'

export type CeremonyStage =
  /** Waits for this node's operator. */
  | 'proposed'
  | 'running'
  /** Nothing more comes of it by itself; it still completes when a certificate arrives. */
  | 'stopped'
  | 'complete'
  /** This node cannot go on: its store or the engine's process failed. */
  | 'failed'
  /** Approved here, but its `notAfter` passed before it began. */
  | 'expired'

export interface NamedMember {
  readonly index: number
  readonly name: string
}

export interface FaultSummary {
  readonly culprit: NamedMember
  readonly kind: Fault['kind']
  readonly certainty: Fault['certainty']
  readonly summary: string
  /** Path of the JSON file with the evidence. */
  readonly file: string
}

/** A ceremony as people and scripts see it; plain JSON. */
export interface CeremonyStatus {
  /** 0x and 64 hex digits: TH("ceremony", X). */
  readonly ceremony: string
  readonly stage: CeremonyStage
  readonly keyName: string
  readonly purpose: string
  readonly generation: number
  readonly n: number
  readonly t: number
  /** Unix seconds. */
  readonly notAfter: number
  /** Not known any more after a restart. */
  readonly proposedBy?: NamedMember
  readonly phase?: CeremonyPhase
  readonly view?: number
  readonly have?: number
  readonly want?: number
  /** Who is waited for. */
  readonly missing?: readonly NamedMember[]
  /** One sentence, with `stopped` and `failed`. */
  readonly reason?: string
  readonly faults: readonly FaultSummary[]
  /** Once complete. */
  readonly keyId?: string
  readonly sharingId?: string
  readonly publicKey?: string
  /** Whether this node holds a share of the key; without one it needs repair. */
  readonly holdsShare?: boolean
}

export function initialStatus(
  spec: KeygenSpec,
  stage: CeremonyStage,
  proposedBy: NamedMember | undefined,
): CeremonyStatus {
  return {
    ceremony: `0x${bytesKey(ceremonyId(spec))}`,
    stage,
    keyName: spec.keyName,
    purpose: spec.purpose,
    generation: spec.generation,
    n: spec.newConfig.n,
    t: spec.newConfig.t,
    notAfter: spec.notAfter,
    ...(proposedBy !== undefined && { proposedBy }),
    faults: [],
  }
}
