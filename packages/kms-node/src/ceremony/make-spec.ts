import {
  type CeremonySpec,
  ceremonyId,
  type Cluster,
  type ClusterNode,
  type CommitteeConfig,
  createConfig,
  type Curve,
  equalBytes,
  importSpec,
  type KeygenSpec,
  KmsError,
  memberAt,
  type ParticipantIndex,
  participantIndex,
  parseKeyName,
  type Purpose,
  type ReshareSpec,
  slotEntry,
  type SlotState,
  type VerifiedKey,
} from '@tkms/dkg'
import { ceremonyError } from './errors.ts'
import { generationsOf, holdersOf, type NamesHere, requireCommitteeOfName } from './name-committee.ts'
import type { KnownKey } from './ports.ts'
import type { ProposeImport, ProposeInput, ProposeKeygen, ProposeReshare } from './propose-input.ts'

const DEFAULT_LIFETIME_S = 24 * 3600

/** What a proposal is made of: X, and where its members are reached. */
export interface MadeSpec {
  readonly spec: CeremonySpec
  /** Members that the cluster file may not name yet. */
  readonly nodes: readonly ClusterNode[]
}

export interface SpecContext extends NamesHere {
  /** Its config is the committee that the cluster was made with. */
  readonly cluster: Cluster
  readonly self: ParticipantIndex
  readonly nodes: readonly ClusterNode[]
  readonly curve: Curve
  readonly nowS: number
  readonly slot: (spec: CeremonySpec) => SlotState
  /** Every X known here, approved or only proposed. */
  readonly specs: () => readonly CeremonySpec[]
}

/**
 * Makes the X of a proposal.
 * @throws KmsError `key-exists`, `unknown-key`, `other-committee`, `unknown-node`, `lowers-threshold`, `attempt-open`, `bad-config`
 */
export function makeSpec(context: SpecContext, input: ProposeInput): MadeSpec {
  switch (input.kind) {
    case 'keygen':
      return { spec: makeKeygen(context, input), nodes: [] }
    case 'import':
      return { spec: makeImport(context, input), nodes: [] }
    case 'reshare':
      return makeReshare(context, input)
  }
}

const newest = (keys: readonly KnownKey[]): KnownKey | undefined =>
  keys.toSorted((left, right) => left.key.generation - right.key.generation).at(-1)

/** @throws KmsError `unknown-key` */
function requireKey(context: SpecContext, keyName: string, generation?: number): KnownKey {
  const named = context.keys.list().filter(({ key }) => key.keyName === keyName)
  const found = generation === undefined ? newest(named) : named.find(({ key }) => key.generation === generation)
  if (found !== undefined) return found
  const isOfIt = (key: VerifiedKey): boolean =>
    key.keyName === keyName && (generation === undefined || key.generation === generation)
  if (context.keys.history?.().some(isOfIt) === true)
    throw ceremonyError(
      'unknown-key',
      `${keyName}${generation === undefined ? '' : ` generation ${generation}`} was destroyed`,
    )
  throw ceremonyError('unknown-key', `this node knows no key ${keyName}: keys lists those it knows`)
}

const common = ({ cluster, nowS }: SpecContext, { keyName, lifetimeS }: ProposeInput) => ({
  suite: 1 as const,
  clusterId: cluster.config.clusterId,
  keyName: parseKeyName(keyName),
  notAfter: nowS + (lifetimeS ?? DEFAULT_LIFETIME_S),
})

function makeKeygen(context: SpecContext, input: ProposeKeygen): KeygenSpec {
  const named = common(context, input)
  const holders = holdersOf(context.keys, { ...named, purpose: input.purpose })
  if (input.rotate === true && holders.length === 0)
    throw ceremonyError('unknown-key', `there is no key ${named.keyName} to rotate: ceremony propose --name makes one`)
  const generation = chooseGeneration(context, input, input.rotate === true)
  const config = chooseCommittee(context, input, holders)
  const spec = { ...named, kind: 'keygen', purpose: input.purpose, generation, epoch: 0, newConfig: config } as const
  requireCommitteeOfName(context, context.cluster.configHash, { ...spec, config })
  return { ...spec, attempt: nextAttempt(context, { ...spec, attempt: 0 }, false) }
}

/** The one that holds the key named by `like`, or this name already; for a new name the one the cluster was made with. */
function chooseCommittee(
  context: SpecContext,
  { like }: ProposeKeygen | ProposeImport,
  holders: readonly VerifiedKey[],
): CommitteeConfig {
  if (like !== undefined) return requireKey(context, like).key.config
  return holders.at(-1)?.config ?? context.cluster.config
}

function makeImport(context: SpecContext, input: ProposeImport): CeremonySpec {
  const { cluster, curve, keys, self } = context
  const newConfig = chooseCommittee(context, input, holdersOf(keys, input))
  const importer = memberAt(newConfig, self)
  if (importer === undefined)
    throw ceremonyError('not-a-member', 'only a member of the new committee can import: the key is dealt by it')
  const named = common(context, input)
  const generation = chooseGeneration(context, input, false)
  const rest = { ...named, purpose: input.purpose, generation, newConfig }
  requireCommitteeOfName(context, cluster.configHash, { ...rest, kind: 'import', config: newConfig })
  const make = (attempt: number): CeremonySpec =>
    importSpec({ ...rest, attempt }, importer, curve.mulBaseSecret(input.key))
  return make(nextAttempt(context, make(0), false))
}

/** A name that is taken is never used again by accident: that would be another key under the same name. */
function chooseGeneration(context: SpecContext, input: ProposeKeygen | ProposeImport, rotate: boolean): number {
  const { keyName, purpose, generation } = input
  const existing = generationsOf(context.keys, input)
  const last = existing.at(-1)?.generation ?? 0
  const taken = generation === undefined ? last > 0 && !rotate : existing.some((key) => key.generation === generation)
  if (taken)
    throw ceremonyError(
      'key-exists',
      `${keyName} has generation ${generation ?? last} already: keys rotate ${keyName} makes the next generation, ceremony propose --refresh ${keyName} or --reshare ${keyName} gives the existing key new shares`,
      { data: { generation: generation ?? last } },
    )
  if (generation !== undefined) return generation
  const open = context
    .specs()
    .filter((spec) => spec.keyName === keyName && spec.purpose === purpose && spec.epoch === 0)
    .map((spec) => spec.generation)
  // What others only propose counts while it leaves no gap: else one of them could use up the numbers.
  let next = last + 1
  const undecided = new Set(open)
  while (undecided.has(next) && !isDecidedAgainst(context, keyName, purpose, next)) next++
  return next
}

/** A generation whose every X known here was abandoned by a quorum is free for its next attempt. */
function isDecidedAgainst(context: SpecContext, keyName: string, purpose: Purpose, generation: number): boolean {
  const rivals = context
    .specs()
    .filter(
      (spec) =>
        spec.epoch === 0 && spec.keyName === keyName && spec.purpose === purpose && spec.generation === generation,
    )
  return rivals.every((spec) => slotEntry(context.slot(spec), ceremonyId(spec))?.decidedAgainst === true)
}

function makeReshare(context: SpecContext, input: ProposeReshare): MadeSpec {
  const { key } = requireKey(context, input.keyName, input.generation)
  const nodes = chooseMembers(context, key.config, input)
  const t = input.threshold ?? key.t
  if (t < key.t && input.lowerThreshold !== true)
    throw ceremonyError(
      'lowers-threshold',
      `${t} nodes instead of ${key.t} would be enough to decrypt, and to steal the key: confirm with --lower-threshold`,
    )
  requireSize(nodes.length, t)
  const newConfig = createConfig({ clusterId: key.config.clusterId, t, members: nodes })
  const spec: ReshareSpec = {
    ...common(context, input),
    kind: 'reshare',
    purpose: key.purpose,
    generation: key.generation,
    epoch: key.epoch + 1,
    attempt: 0,
    keyId: key.keyId,
    prevOutcome: key.sharingId,
    oldConfig: key.config,
    newConfig,
  }
  const joining = nodes.filter(({ index }) => memberAt(key.config, index) === undefined)
  return { spec: { ...spec, attempt: nextAttempt(context, spec, input.supersede === true) }, nodes: joining }
}

/** The rules of a committee, with what the operator can change. @throws KmsError `bad-config` */
function requireSize(n: number, t: number): void {
  const needed = Math.max(t + 1, 3) - n
  if (needed <= 0) return
  const remedy = n < 3 ? '' : `, or lower the threshold to ${n - 1}: --threshold ${n - 1} --lower-threshold`
  throw new KmsError(
    'bad-config',
    `${n} members with t = ${t} are impossible: a committee has at least 3 members, and its threshold lies in 2 to n - 1. Add ${needed} more (--add)${remedy}`,
    { data: { n, t } },
  )
}

/** 0, or the one after the last that this node had to do with. @throws KmsError `attempt-open` */
function nextAttempt(context: SpecContext, spec: CeremonySpec, supersede: boolean): number {
  const { entries, floor } = context.slot(spec)
  const open = entries.findLast(({ approval, decidedAgainst }) => approval !== 'none' && !decidedAgainst)
  if (open !== undefined && !supersede)
    throw ceremonyError(
      'attempt-open',
      'this key has a ceremony under way for this epoch: ceremony status shows it. Finish it, or ceremony abandon it on a quorum of its new members; a resharing whose new members are lost is replaced with --supersede',
    )
  return Math.max(floor, ...entries.map(({ attempt }) => attempt + 1), 0)
}

/** The members of the new committee with their addresses. @throws KmsError `unknown-node`, `already-a-member`, `too-many-members` */
function chooseMembers(context: SpecContext, old: CommitteeConfig, input: ProposeReshare): readonly ClusterNode[] {
  const leaving = (input.remove ?? []).map((wanted) => findMember(context, old, wanted))
  const staying = old.members
    .filter(({ index }) => !leaving.includes(index))
    .map(
      (member) =>
        context.nodes.find(({ index }) => index === member.index) ?? { ...unreachable(member.index), ...member },
    )
  let next = 1 + Math.max(...usedIndices(context))
  const joining = (input.add ?? []).map((wanted): ClusterNode => {
    const known =
      typeof wanted === 'string'
        ? context.nodes.find(({ name }) => name === wanted)
        : context.nodes.find(({ publicKey }) => equalBytes(publicKey, wanted.publicKey))
    if (known !== undefined && memberAt(old, known.index) !== undefined)
      throw ceremonyError('already-a-member', `${known.name} is a member already`)
    if (known !== undefined) return typeof wanted === 'string' ? known : { ...wanted, index: known.index }
    if (typeof wanted === 'string')
      throw ceremonyError('unknown-node', `no node is called ${wanted}: give its card.json instead`)
    return { ...wanted, index: participantIndex(next++) }
  })
  return [...staying, ...joining]
}

const unreachable = (index: number) => ({ name: `node-${index}`, multiaddrs: [], url: 'http://localhost' })

function findMember({ nodes }: SpecContext, old: CommitteeConfig, wanted: string): ParticipantIndex {
  const named = nodes.find(({ name }) => name === wanted)?.index ?? Number(wanted)
  const member = memberAt(old, named)
  if (member === undefined) throw ceremonyError('unknown-node', `no member of this key is called ${wanted}`)
  return member.index
}

/** Indices are never used again, by nobody (protocol 3). */
function usedIndices({ cluster, nodes, keys, specs }: SpecContext): readonly number[] {
  const configs = [
    cluster.config,
    ...keys.list().map(({ key }) => key.config),
    ...specs().flatMap((spec) => (spec.kind === 'reshare' ? [spec.oldConfig, spec.newConfig] : [spec.newConfig])),
  ]
  return [...nodes, ...configs.flatMap(({ members }) => members)].map(({ index }) => index)
}
