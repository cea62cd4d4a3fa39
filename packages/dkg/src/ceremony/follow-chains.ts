import { bytesKey, equalBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'
import { type Candidate, type Pins, readCandidate, type Walk, walkChain } from './certificate-chain.ts'
import { checkCertificate, refuseCertificate } from './check-certificate.ts'
import { configHash } from './config.ts'
import { leadingKeys, type NamedKey } from './name-rule.ts'
import { type VerifiedKey, verifyCertificate } from './verify-certificate.ts'

/** The verified way to one key. */
export interface KeyChain {
  /** At its latest epoch: the last of `steps`. */
  readonly key: VerifiedKey
  /** Its certificates, in order, the first one of a trusted committee. */
  readonly steps: readonly VerifiedKey[]
  /** Certificates of other keys, where only they lead from the pins to the committee of the first step; else empty. */
  readonly support: readonly Uint8Array[]
}

/** One key's certificates on the way to a `KeyChain`. */
interface Group extends NamedKey {
  readonly candidates: readonly Candidate[]
}

/** `followChains` without the way. @throws KmsError `bad-certificate` with the reason, `degraded-certificate` */
export const followCertificates = (
  curve: Curve,
  verify: VerifyMessage,
  pins: Pins,
  certificates: readonly Uint8Array[],
): VerifiedKey[] => followChains(curve, verify, pins, certificates).map(({ key }) => key)

/**
 * From the pins to the latest epoch of every key that the certificates are of, in the order in which the keys first appear.
 * A key begins with the genesis committee, or with one that the chain of another key reached (`leadingKeys`); accepted committees only
 * lead on. Superseded certificates are not verified; every other one must lead somewhere.
 * @throws KmsError `bad-certificate` with the reason, `degraded-certificate`
 */
export function followChains(
  curve: Curve,
  verify: VerifyMessage,
  pins: Pins,
  certificates: readonly Uint8Array[],
): KeyChain[] {
  const { chains, stray } = followAll(curve, verify, pins, certificates)
  if (stray.length > 0)
    refuseCertificate('made by another committee than the pinned one, and no pinned one leads to it')
  return chains
}

/**
 * The certificates without those of keys that no chain leads to the first committee of.
 * @throws KmsError `bad-certificate`, `degraded-certificate` for what does not hold otherwise
 */
export function withoutStrayKeys(
  curve: Curve,
  verify: VerifyMessage,
  pins: Pins,
  certificates: readonly Uint8Array[],
): Uint8Array[] {
  const stray = followAll(curve, verify, pins, certificates).stray.flatMap(({ candidates }) => candidates)
  return certificates.filter((bytes) => !stray.some((candidate) => candidate.bytes === bytes))
}

function followAll(
  curve: Curve,
  verify: VerifyMessage,
  pins: Pins,
  certificates: readonly Uint8Array[],
): { readonly chains: KeyChain[]; readonly stray: readonly Group[] } {
  const groups = [...groupByKey(curve, certificates)]
  const found = new Map<Group, KeyChain>()
  const context = { curve, verify, accepted: pins.accepted ?? [], refusals: [] }
  for (const group of groups) {
    const first = startOf(group, pins.configHash)
    if (first !== undefined) found.set(group, followGroup(context, group, first, []))
  }
  const pending = groups
    .filter((group) => !found.has(group))
    .toSorted((left, right) => left.generation - right.generation)
  for (
    let next = beginnable(context, pending, groups, found);
    next !== undefined;
    next = beginnable(context, pending, groups, found)
  ) {
    found.set(next.group, { ...followGroup(context, next.group, next.first, next.support) })
    pending.splice(pending.indexOf(next.group), 1)
  }
  return { chains: groups.flatMap((group) => found.get(group) ?? []), stray: pending }
}

function groupByKey(curve: Curve, certificates: readonly Uint8Array[]): Iterable<Group> {
  const groups = new Map<string, Group>()
  for (const bytes of certificates) {
    const candidate = readCandidate(curve, bytes)
    const { keyId: id, purpose, keyName, generation } = candidate.facts
    const keyId = bytesKey(id)
    const candidates = [...(groups.get(keyId)?.candidates ?? []), candidate]
    groups.set(keyId, { candidates, purpose, keyName, generation })
  }
  return groups.values()
}

const earliestFirst = (left: Candidate, right: Candidate): number =>
  left.facts.epoch - right.facts.epoch || right.facts.attempt - left.facts.attempt

const madeBy = ({ committee }: Candidate, hash: Uint8Array): boolean => equalBytes(committee, hash)

/** The earliest certificate made by the pinned committee. */
const startOf = ({ candidates }: Group, pinned: Uint8Array): Candidate | undefined =>
  candidates.filter((candidate) => madeBy(candidate, pinned)).toSorted(earliestFirst)[0]

interface Beginning {
  readonly group: Group
  readonly first: Candidate
  readonly support: readonly Uint8Array[]
}

/** A key whose genesis committee the chain of a verified key reached. */
function beginnable(
  context: Walk,
  pending: readonly Group[],
  groups: readonly Group[],
  found: ReadonlyMap<Group, KeyChain>,
): Beginning | undefined {
  for (const group of pending) {
    const [first] = group.candidates.toSorted(earliestFirst)
    if (first === undefined || first.facts.kind === 'reshare') continue
    const leading = leadingKeys(groups, group)
    for (const [other, chain] of found) {
      if (!leading.includes(other)) continue
      const way = wayTo(context, other, chain, first.committee)
      if (way !== undefined) return { group, first, support: [...chain.support, ...way] }
    }
  }
  return undefined
}

/** The certificates of a verified key up to the first of this committee. A chain may have gone past it in one step. */
function wayTo(context: Walk, group: Group, chain: KeyChain, hash: Uint8Array): Uint8Array[] | undefined {
  const [start] = chain.steps
  const target = group.candidates.filter((candidate) => madeBy(candidate, hash)).toSorted(earliestFirst)[0]
  if (start === undefined || target === undefined) return undefined
  // A later attempt of the target's epoch took its place afterwards: what was begun before stays.
  const { epoch, attempt } = target.facts
  const before = group.candidates.filter(
    ({ facts }) => facts.epoch < epoch || (facts.epoch === epoch && facts.attempt <= attempt),
  )
  const { steps } = walkChain({ ...context, refusals: [] }, start, before)
  const way = [start, ...steps]
  const at = way.findIndex(({ config }) => equalBytes(configHash(config), hash))
  return at < 0 ? undefined : way.slice(0, at + 1).map(({ certificate }) => certificate)
}

function followGroup(context: Walk, { candidates }: Group, first: Candidate, support: readonly Uint8Array[]): KeyChain {
  const { curve, verify, accepted } = context
  const pinned = verifyCertificate(curve, verify, first.bytes, { configHash: first.committee })
  const start: VerifiedKey = support.length === 0 ? pinned : { ...pinned, trustedBy: 'chain' }
  const { key, steps, refused } = walkChain({ curve, verify, accepted, refusals: [] }, start, candidates)
  const [problem] = refused
  if (problem !== undefined) throw problem
  if (candidates.some(({ facts }) => facts.epoch > key.epoch)) refuseCertificate('no certificate before it leads to it')
  const chain = [start, ...steps]
  for (const { bytes, facts } of candidates) if (isRepeated(chain, bytes, facts)) checkCertificate(curve, verify, bytes)
  return { key, steps: chain, support }
}

/** A second certificate of a sharing that the chain goes through: other signatures, which must hold too. */
function isRepeated(chain: readonly VerifiedKey[], bytes: Uint8Array, { sharingId }: Candidate['facts']): boolean {
  const known = chain.find((step) => equalBytes(step.sharingId, sharingId))
  return known !== undefined && !equalBytes(known.certificate, bytes)
}

/** Without what lies between two certificates of the same committee: not needed to get from one to the other. Ascending by epoch. */
export function withoutRefreshes<T extends Pick<VerifiedKey, 'config'>>(chain: readonly T[]): T[] {
  const hashes = chain.map(({ config }) => bytesKey(configHash(config)))
  return chain.filter((_, at) => at === 0 || hashes[at - 1] !== hashes[at] || hashes[at + 1] !== hashes[at])
}
