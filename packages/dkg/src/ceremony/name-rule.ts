import { equalBytes } from '../primitives/codec.ts'
import { type CeremonySpec, type CommitteeConfig, configHash, type Purpose } from './config.ts'

/** A key among others of its cluster: one generation of a name. */
export interface NamedKey {
  readonly purpose: Purpose
  readonly keyName: string
  /** u32 >= 1. */
  readonly generation: number
}

export const isSameName = (left: Omit<NamedKey, 'generation'>, right: Omit<NamedKey, 'generation'>): boolean =>
  left.purpose === right.purpose && left.keyName === right.keyName

/**
 * The rule of names (protocol 4, step 2): the keys whose chains may lead to the first committee of this one. Those of the earlier
 * generations of its name, where there are any, else all: so a committee that was given one key cannot take the name of another.
 */
export function leadingKeys<T extends NamedKey>(keys: readonly T[], key: NamedKey): readonly T[] {
  const earlier = keys.filter((other) => isSameName(other, key) && other.generation < key.generation)
  return earlier.length > 0 ? earlier : keys
}

/** One committee that the chain of a key reached. */
export interface ReachedCommittee extends NamedKey {
  readonly config: CommitteeConfig
}

/** One with which a key may have begun, or that a resharing led to. */
export interface BegunCommittee extends ReachedCommittee {
  readonly kind: CeremonySpec['kind']
}

/**
 * Whether clients take a new key of this committee: it is the pinned one, or a chain that may lead to it reached it, byte for byte.
 * @param pinned config hash of the genesis committee, 32 bytes
 * @param reached every committee of every sharing that is known, of destroyed keys too
 */
export function mayBegin(pinned: Uint8Array, reached: readonly ReachedCommittee[], key: BegunCommittee): boolean {
  const hash = configHash(key.config)
  if (equalBytes(hash, pinned)) return true
  if (key.kind === 'reshare') return false
  return leadingKeys(reached, key).some(({ config }) => equalBytes(configHash(config), hash))
}

/**
 * Whether a generation that becomes known after later ones of its name leaves them in their place: the chain of an earlier one leads to
 * the committees that began them. One that does not was made by others, who would take the name. What the pinned committee began counts.
 * @param steps the chain of the earlier generation, from its first sharing, which `mayBegin`
 */
export function mayPrecede(
  pinned: Uint8Array,
  reached: readonly BegunCommittee[],
  steps: readonly ReachedCommittee[],
): boolean {
  const [first] = steps
  if (first === undefined || equalBytes(configHash(first.config), pinned)) return true
  const later = reached.filter((key) => isSameName(key, first) && key.generation > first.generation)
  return later.every((key) => !mayBegin(pinned, reached, key) || mayBegin(pinned, [...reached, ...steps], key))
}
