import { bytesKey, type DestroyEffect, type DestroyPhase, type VerifiedKey } from '@tkms/dkg'

type Progress = Extract<DestroyEffect, { readonly type: 'progress' }>

export interface NamedNode {
  readonly index: number
  readonly name: string
}

/** How the destruction of one key generation stands, as operators see it. Public. */
export interface DestroyStatus {
  readonly keyId: string
  readonly keyName: string
  readonly generation: number
  readonly phase: DestroyPhase
  /** It is the newest generation of its name: whoever signs says `--last`. */
  readonly last?: true
  /** Whether this node's operator signed the order. */
  readonly signedHere: boolean
  /** Signatures of the order. */
  readonly signatures: Count
  /** What is still left of each sharing, the latest first. */
  readonly sharings: readonly (Count & { readonly epoch: number; readonly sharingId: string })[]
  /** Sharings that exist and are not known here: nothing can be counted of them, so the key is not called gone here. */
  readonly unseen: readonly { readonly sharingId: string; readonly epoch?: number; readonly from?: NamedNode }[]
  /** Unix seconds: since when it stands in this phase. */
  readonly since: number
  /** What the operator does next. */
  readonly advice?: string
}

interface Count {
  readonly have: number
  readonly want: number
  readonly missing: readonly NamedNode[]
}

const hex = (bytes: Uint8Array): string => `0x${bytesKey(bytes)}`
const names = (nodes: readonly NamedNode[]): string => nodes.map(({ name, index }) => `${name} (${index})`).join(', ')

export function destroyStatus(
  key: VerifiedKey,
  { phase, signatures, sharings, unseen }: Progress,
  context: { readonly self: number; readonly since: number; readonly named: (index: number) => NamedNode },
): DestroyStatus {
  const { named, self, since } = context
  return {
    keyId: hex(key.keyId),
    keyName: key.keyName,
    generation: key.generation,
    phase,
    signedHere:
      key.config.members.some(({ index }) => index === self) && !signatures.missing.some((index) => index === self),
    signatures: { ...signatures, missing: signatures.missing.map(named) },
    sharings: sharings.map(({ epoch, sharingId, have, want, missing }) => ({
      epoch,
      sharingId: hex(sharingId),
      have,
      want,
      missing: missing.map(named),
    })),
    unseen: unseen.map(({ sharingId, epoch, from }) => ({
      sharingId: hex(sharingId),
      ...(epoch !== undefined && { epoch }),
      ...(from !== undefined && { from: named(from) }),
    })),
    since,
  }
}

/** What is waited for, and what the operator does about it. */
export function adviseOnDestruction(status: DestroyStatus, command: string): string | undefined {
  const { phase, signatures, sharings, unseen, keyName, generation, keyId } = status
  const approve = `${command} keys destroy ${keyName} --generation ${generation} --confirm ${keyId}${status.last === true ? ' --last' : ''} --data-dir DIR`
  if (phase === 'collecting')
    return `${signatures.want - signatures.have} more of these must agree: ${names(signatures.missing)}. There: ${approve}`
  const left = sharings.filter(({ have, want }) => have < want)
  if (phase !== 'erased') return undefined
  const waiting = left.map(({ epoch, have, want, missing }) => `epoch ${epoch}: ${want - have} of ${names(missing)}`)
  const unknown = unseen.map(({ sharingId, epoch, from }) => {
    const which = epoch === undefined ? '' : `epoch ${epoch}, `
    return `${which}sharing ${sharingId.slice(0, 18)}${from === undefined ? '' : ` on the word of ${names([from])}`}`
  })
  const parts = [
    waiting.length > 0 && `Start these nodes, they erase by themselves and say so: ${waiting.join('; ')}`,
    unknown.length > 0 &&
      `This node never saw ${unknown.join('; ')}: ask on a node that did (${command} keys destroy ${keyName} --status)`,
  ].filter((part) => part !== false)
  return parts.length === 0 ? undefined : `The key is not gone yet. ${parts.join('. ')}`
}
