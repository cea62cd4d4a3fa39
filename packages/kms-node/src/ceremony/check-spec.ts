import {
  bytesKey,
  type CeremonySpec,
  type Cluster,
  type ClusterNode,
  type CommitteeConfig,
  encodeConfig,
  equalBytes,
  type ImportSpec,
  type KeygenSpec,
  memberAt,
  type ParticipantIndex,
  type ReshareSpec,
} from '@tkms/dkg'
import { ceremonyError } from './errors.ts'
import { type NamesHere, requireCommitteeOfName } from './name-committee.ts'
import type { KnownKey } from './ports.ts'

/** A proposal that stays open longer than this is refused. */
const MAX_LIFETIME_S = 90 * 24 * 3600

export interface CheckContext extends NamesHere {
  /** Its config is the committee that the cluster was made with. */
  readonly cluster: Cluster
  readonly self: ParticipantIndex
  /** The address book, without what the proposal brings. */
  readonly nodes: readonly ClusterNode[]
  readonly nowS: number
}

const refuse = (problem: string): never => {
  throw ceremonyError('bad-proposal', problem)
}

/**
 * Whether this node could take part in X at all, before any operator looks at it (protocol 3, 8): its own cluster, committees it knows,
 * and for a resharing exactly the newest sharing of a key it knows. What `nodes` say is used for addresses only.
 * @throws KmsError `bad-proposal`, `other-committee`, `expired`, `unknown-sharing` when the sharing that X replaces is not known here yet
 */
export function checkSpec(context: CheckContext, spec: CeremonySpec, nodes: readonly ClusterNode[]): void {
  const { cluster, self, nowS } = context
  if (!equalBytes(spec.clusterId, cluster.config.clusterId)) refuse('it belongs to another cluster')
  if (spec.notAfter < nowS) throw ceremonyError('expired', 'this proposal has expired')
  if (spec.notAfter > nowS + MAX_LIFETIME_S) refuse('it stays open for too long')
  if (spec.kind === 'reshare') checkReshare(context, spec, nodes)
  else checkGenesis(context, spec)
  const dealers = spec.kind === 'keygen' ? spec.newConfig : spec.oldConfig
  if (memberAt(spec.newConfig, self) === undefined && memberAt(dealers, self) === undefined)
    refuse('this node is no member of its committees')
}

/** A new key is made by a committee that this node has reason to trust, byte for byte. */
function checkGenesis(context: CheckContext, spec: KeygenSpec | ImportSpec): void {
  requireCommitteeOfName(context, context.cluster.configHash, { ...spec, config: spec.newConfig })
  if (spec.kind === 'keygen') return
  const [dealer] = spec.oldConfig.members
  const member = dealer === undefined ? undefined : memberAt(spec.newConfig, dealer.index)
  if (dealer === undefined || member === undefined || !equalBytes(member.publicKey, dealer.publicKey))
    refuse('its importer is no member of the new committee')
}

function checkReshare(context: CheckContext, spec: ReshareSpec, nodes: readonly ClusterNode[]): void {
  const previous = requirePrevious(context, spec)
  const { key } = previous
  const same =
    equalBytes(key.keyId, spec.keyId) &&
    key.purpose === spec.purpose &&
    key.keyName === spec.keyName &&
    key.generation === spec.generation &&
    key.epoch + 1 === spec.epoch &&
    equalBytes(encodeConfig(key.config), encodeConfig(spec.oldConfig))
  if (!same) refuse('it does not continue the key that it names')
  checkMembers(context, spec.newConfig, nodes)
}

/** The newest sharing, and no other: a resharing of an attempt that a higher one replaced would split the key in two. */
function requirePrevious({ keys }: CheckContext, spec: ReshareSpec): KnownKey {
  const previous = keys.find(spec.prevOutcome)
  if (previous === undefined)
    throw ceremonyError('unknown-sharing', 'it reshares a sharing that this node does not know yet', {
      data: { sharingId: `0x${bytesKey(spec.prevOutcome)}` },
    })
  const newest = keys.list().find(({ key }) => equalBytes(key.keyId, spec.keyId))
  if (newest === undefined) return refuse('this key was destroyed')
  if (!equalBytes(newest.key.sharingId, previous.key.sharingId))
    refuse('the sharing that it replaces is not the newest one')
  return previous
}

/**
 * An index stands for one identity for ever, every member has an address, and a new one neither the name nor the URL of another node.
 * @throws KmsError `bad-proposal`
 */
export function checkMembers(
  { nodes: book }: Pick<CheckContext, 'nodes'>,
  config: CommitteeConfig,
  nodes: readonly ClusterNode[],
): void {
  for (const { index, publicKey } of config.members) {
    const known = book.find((node) => node.index === index)
    const brought = nodes.find((node) => node.index === index)
    if (known !== undefined && !equalBytes(known.publicKey, publicKey))
      refuse(`it gives the index ${index} of a node to another one: indices are never used again`)
    if (book.some((node) => node.index !== index && equalBytes(node.publicKey, publicKey)))
      refuse(`it gives a known node the new index ${index}`)
    if (known === undefined && (brought === undefined || !equalBytes(brought.publicKey, publicKey)))
      refuse(`it does not say where node ${index} is reached`)
    const twin = known === undefined && book.find(({ name, url }) => name === brought?.name || url === brought?.url)
    if (twin) refuse(`node ${index} has the name or the URL of node ${twin.index} (${twin.name}): init it with its own`)
  }
}
