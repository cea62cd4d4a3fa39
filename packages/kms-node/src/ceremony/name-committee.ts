import {
  bytesKey,
  type CeremonySpec,
  ceremonyId,
  configHash,
  equalBytes,
  isSameName,
  mayBegin,
  type NamedKey,
  type ReachedCommittee,
  type VerifiedKey,
} from '@tkms/dkg'
import { ceremonyError } from './errors.ts'
import type { CeremonyKeys } from './ports.ts'

type Name = Omit<NamedKey, 'generation'>

const historyOf = (keys: CeremonyKeys): readonly VerifiedKey[] => keys.history?.() ?? keys.list().map(({ key }) => key)

/** The generations of a name, each at its newest sharing, ascending. Destroyed ones too: their numbers stay taken. */
export function generationsOf(keys: CeremonyKeys, name: Name): readonly VerifiedKey[] {
  const named = historyOf(keys).filter((key) => isSameName(key, name))
  return named
    .filter((key, at) => named.findIndex(({ keyId }) => equalBytes(keyId, key.keyId)) === at)
    .toSorted((left, right) => left.generation - right.generation)
}

/**
 * Who holds a name now: the newest sharings of its keys, where none is left those that were destroyed; none for a new name. Only they make
 * its next generation: a committee that it has left would bring removed members back.
 */
export function holdersOf(keys: CeremonyKeys, name: Name): readonly VerifiedKey[] {
  const living = keys.list().flatMap(({ key }) => (isSameName(key, name) ? [key] : []))
  return living.length > 0 ? living : generationsOf(keys, name)
}

/** What a node knows of the names of its cluster. */
export interface NamesHere {
  readonly keys: CeremonyKeys
  /** Every X of a new key that this node approved and that may still be certified. */
  readonly undecided: () => readonly CeremonySpec[]
}

/**
 * A new key is made by a committee that clients take it from (protocol 4, step 2), and that has it now: that of its name, for a new name
 * the one the cluster was made with or any that holds a key, and none but that of an undecided generation: if both got their certificates,
 * clients would refuse one of them.
 * @param pinned config hash of the genesis committee, 32 bytes
 * @throws KmsError `other-committee`
 */
export function requireCommitteeOfName(
  { keys, undecided }: NamesHere,
  pinned: Uint8Array,
  key: ReachedCommittee & { readonly kind: 'keygen' | 'import' },
): void {
  const hash = configHash(key.config)
  const isIts = ({ config }: VerifiedKey): boolean => equalBytes(configHash(config), hash)
  const holders = holdersOf(keys, key)
  const current =
    holders.length > 0
      ? holders.some(isIts)
      : equalBytes(hash, pinned) || keys.list().some(({ key: other }) => isIts(other))
  if (current && mayBegin(pinned, historyOf(keys), key)) {
    const rival = undecided().find((spec) => isSameName(spec, key) && !equalBytes(configHash(spec.newConfig), hash))
    if (rival === undefined || holders.length > 0) return
    const id = `0x${bytesKey(ceremonyId(rival))}`
    throw ceremonyError(
      'other-committee',
      `another committee may still make generation ${rival.generation} of ${key.keyName} (ceremony ${id.slice(0, 18)}): that one must end first, or be abandoned by a quorum`,
      { data: { keyName: key.keyName, generation: key.generation, ceremony: id } },
    )
  }
  throw ceremonyError(
    'other-committee',
    holders.length > 0
      ? `the name ${key.keyName} belongs to the committee that holds it, and clients take no key of it from another: reshare the key to that committee first`
      : 'it names another committee: a new key is made by the first committee of the cluster, or by one that holds a key',
    { data: { keyName: key.keyName, generation: key.generation } },
  )
}
