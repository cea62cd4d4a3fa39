import {
  bytesKey,
  type CeremonyPhase,
  type CeremonySpec,
  ceremonyId,
  type CommitteeConfig,
  type Fault,
  memberAt,
  quorum,
  type VerifiedKey,
} from '@tkms/dkg'
import type { CommitteeDetails } from './committee-details.ts'

export type CeremonyStage =
  /** Waits for this node's operator. */
  | 'proposed'
  /** Approved here; the old committee has not authorized it yet (protocol 6, AUTH). */
  | 'authorizing'
  | 'running'
  /** This node signed ABANDON; it takes part again in nothing, and a certificate still counts. */
  | 'left'
  /** A quorum abandoned it: it can never be certified. */
  | 'abandoned'
  /** Given up here for a later attempt; a certificate still counts. */
  | 'superseded'
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

/** A committee as an operator compares it. */
export interface CommitteeSummary {
  readonly n: number
  readonly t: number
  readonly members: readonly NamedMember[]
}

/** How far AUTH has come. */
export interface AuthorizationStatus {
  readonly have: number
  /** A full AUTH. */
  readonly want: number
  /** Enough for a degraded one, which every operator must confirm. */
  readonly least: number
  readonly missing: readonly NamedMember[]
}

/** A ceremony as people and scripts see it; plain JSON. */
export interface CeremonyStatus {
  /** 0x and 64 hex digits: TH("ceremony", X). */
  readonly ceremony: string
  readonly kind: CeremonySpec['kind']
  readonly stage: CeremonyStage
  readonly keyName: string
  readonly purpose: string
  readonly generation: number
  readonly epoch: number
  readonly attempt: number
  /** Of the new committee, as `members`. */
  readonly n: number
  readonly t: number
  /** Members of the new committee that it takes, to make the key as to give it up. */
  readonly quorum: number
  readonly members: readonly NamedMember[]
  /** What an operator compares; where one ceremony is asked for. */
  readonly committee?: CommitteeDetails
  /** Who deals; absent in a key generation, where the members themselves do. */
  readonly old?: CommitteeSummary
  /** Fewer nodes than before would be enough to decrypt. */
  readonly lowersThreshold: boolean
  /** Unix seconds. */
  readonly notAfter: number
  /** Who told this node of it first: whoever proposed it, or approved it since. Not known any more after a restart. */
  readonly proposedBy?: NamedMember
  /** Members whose operators decided on it already, as far as this node has seen: they need no word of theirs any more. */
  readonly begun?: readonly NamedMember[]
  /** Members whose ABANDON is here. */
  readonly abandonedBy?: readonly NamedMember[]
  readonly authorization?: AuthorizationStatus
  /** A backup of this node was restored: it signs nothing before enough of these have told what it promised since. */
  readonly awaited?: readonly NamedMember[]
  /** Approved here also for an AUTH below the old quorum. */
  readonly degraded?: boolean
  readonly phase?: CeremonyPhase
  readonly view?: number
  /** Of this view. */
  readonly leader?: NamedMember
  /** This many seconds after a quorum joined the view at the latest it ends by itself. */
  readonly viewLimitS?: number
  readonly have?: number
  readonly want?: number
  /** Who is waited for. */
  readonly missing?: readonly NamedMember[]
  /** Unix seconds of the last progress seen in this life of the node. */
  readonly since?: number
  /** What the operator can do about a ceremony that waits, or has ended without a share here. */
  readonly advice?: string
  /** Why the view before this one ended without an outcome. */
  readonly lastView?: { readonly view: number; readonly reason: string }
  /** One sentence, with a stage that is final, or with a full disk. */
  readonly reason?: string | undefined
  readonly faults: readonly FaultSummary[]
  /** Once complete. */
  readonly keyId?: string
  readonly sharingId?: string
  readonly publicKey?: string
  /** Whether this node holds a share of the key; without one it needs repair. */
  readonly holdsShare?: boolean
}

export type NameOf = (index: number) => NamedMember

export interface StatusSources {
  readonly nameOf: NameOf
  readonly proposedBy?: NamedMember | undefined
  readonly begun?: readonly number[] | undefined
  readonly abandonedBy?: readonly number[]
}

export function initialStatus(
  spec: CeremonySpec,
  stage: CeremonyStage,
  { nameOf, proposedBy, begun = [], abandonedBy = [] }: StatusSources,
): CeremonyStatus {
  const { n, t } = spec.newConfig
  const summary = (config: CommitteeConfig): CommitteeSummary => ({
    n: config.n,
    t: config.t,
    members: config.members.map(({ index }) => nameOf(index)),
  })
  return {
    ceremony: `0x${bytesKey(ceremonyId(spec))}`,
    kind: spec.kind,
    stage,
    keyName: spec.keyName,
    purpose: spec.purpose,
    generation: spec.generation,
    epoch: spec.epoch,
    attempt: spec.attempt,
    n,
    t,
    quorum: quorum(spec.newConfig),
    members: summary(spec.newConfig).members,
    ...(spec.kind !== 'keygen' && { old: summary(spec.oldConfig) }),
    lowersThreshold: spec.kind === 'reshare' && t < spec.oldConfig.t,
    notAfter: spec.notAfter,
    ...(proposedBy !== undefined && { proposedBy }),
    ...(begun.length > 0 && { begun: begun.map(nameOf) }),
    ...(abandonedBy.length > 0 && { abandonedBy: abandonedBy.map(nameOf) }),
    faults: [],
  }
}

/** @param awaited nobody: this node is not held back */
export function withAwaited(status: CeremonyStatus, awaited: readonly NamedMember[]): CeremonyStatus {
  const { awaited: _before, ...rest } = status
  return awaited.length === 0 ? rest : { ...rest, awaited }
}

/** It waits for other members to tell what this node promised before it was restored. */
export const isHeldBack = (
  status: CeremonyStatus,
): status is CeremonyStatus & Required<Pick<CeremonyStatus, 'awaited'>> =>
  status.awaited !== undefined && (status.stage === 'authorizing' || status.stage === 'running')

const hex = (bytes: Uint8Array): string => `0x${bytesKey(bytes)}`

export const keyFields = (key: VerifiedKey): Pick<CeremonyStatus, 'keyId' | 'sharingId' | 'publicKey'> => ({
  keyId: hex(key.keyId),
  sharingId: hex(key.sharingId),
  publicKey: hex(key.groupKey),
})

/** Nothing more comes of it at this node by itself. */
export const isFinal = ({ stage }: Pick<CeremonyStatus, 'stage'>): boolean =>
  stage === 'complete' || stage === 'abandoned' || stage === 'failed' || stage === 'expired' || stage === 'superseded'

/** Who joins and who leaves, for people. */
export function memberChanges(spec: CeremonySpec): { readonly joining: number[]; readonly leaving: number[] } {
  if (spec.kind !== 'reshare') return { joining: [], leaving: [] }
  const { oldConfig, newConfig } = spec
  const only = (one: CommitteeConfig, other: CommitteeConfig): number[] =>
    one.members.map(({ index }) => index).filter((index) => memberAt(other, index) === undefined)
  return { joining: only(newConfig, oldConfig), leaving: only(oldConfig, newConfig) }
}
