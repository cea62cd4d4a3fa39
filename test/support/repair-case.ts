import { createConfig, type Member } from '../../packages/dkg/src/ceremony/config.ts'
import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import { encodeScalar, modOrder } from '../../packages/dkg/src/primitives/scalar.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { ClusterId, KeyId, ParticipantIndex, SharingId } from '../../packages/dkg/src/primitives/types.ts'
import type { RepairSharing } from '../../packages/dkg/src/repair/messages.ts'
import { commit, verifyShare } from '../../packages/dkg/src/sharing/feldman.ts'
import { evaluatePolynomial } from '../../packages/dkg/src/sharing/polynomial.ts'
import { bytesOf, type Committee, type Identity, seededRandom, simulatedCommittee } from './simulated-committee.ts'

/** A sharing whose every share the test knows. */
export interface RepairCase {
  readonly committee: Committee
  readonly sharing: RepairSharing
  /** Ascending by index. */
  readonly identities: readonly Identity[]
  readonly shareOf: (index: number) => Uint8Array
}

/** A sharing with distinct random indices. */
export function repairCase(n: number, t: number, seed: number, signatures: 'cheap' | 'ed25519' = 'cheap'): RepairCase {
  const committee = simulatedCommittee({ n, t, seed, signatures })
  const random = seededRandom(seed)
  const indices = new Set<number>()
  while (indices.size < n) indices.add(1 + Math.floor(random() * 65_535))
  const sorted = [...indices].toSorted((left, right) => left - right)
  const identities = committee.identities.map((identity, at) => ({
    ...identity,
    index: participantIndex(sorted[at] ?? 0),
  }))
  const members: readonly Member[] = identities
  const config = createConfig({ clusterId: bytesOf('cluster', seed) as ClusterId, t, members })
  const polynomial = Array.from({ length: t }, (_, k) =>
    modOrder(BigInt(`0x${bytesKey(bytesOf('coefficient', seed, k))}`)),
  )
  const sharing = {
    keyId: bytesOf('key', seed) as KeyId,
    sharingId: bytesOf('sharing', seed) as SharingId,
    commitment: commit(committee.curve, polynomial),
    config,
  }
  const shareOf = (index: number): Uint8Array => encodeScalar(evaluatePolynomial(polynomial, participantIndex(index)))
  return { committee, sharing, identities, shareOf }
}

/** Whether the bytes hold this secret somewhere. */
export const holds = (bytes: Uint8Array, secret: Uint8Array): boolean =>
  Buffer.from(bytes).includes(Buffer.from(secret))

/** Whether the recovered share is the lost one. */
export function isShareOf(repair: RepairCase, index: ParticipantIndex, share: Uint8Array | undefined): boolean {
  if (share === undefined) return false
  const secret = Secret.copyOf(share)
  return verifyShare(repair.committee.curve, repair.sharing.commitment, index, secret)
}
