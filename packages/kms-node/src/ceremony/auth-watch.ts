import {
  bytesKey,
  type CeremonySpec,
  ceremonyId,
  doubleAuthorization,
  equalBytes,
  type Fault,
  type MemberSignature,
  slotId,
  verifyEd25519,
} from '@tkms/dkg'

/** Signatures remembered, over all slots; the oldest goes first. */
const MAX_REMEMBERED = 4096

/** Notices a member that authorizes two X of one slot and attempt, which proves it faulty (protocol 7, E2). */
export interface AuthorizationWatch {
  /** @returns the fault, once its second half was seen */
  see(spec: CeremonySpec, entry: MemberSignature): Fault | undefined
}

interface Seen {
  readonly spec: CeremonySpec
  readonly signature: Uint8Array
}

export function createAuthorizationWatch(): AuthorizationWatch {
  const seen = new Map<string, Seen>()
  return {
    see: (spec, { index, signature }) => {
      const place = `${bytesKey(slotId(spec))}-${spec.attempt}-${index}`
      const before = seen.get(place)
      if (before !== undefined && !equalBytes(ceremonyId(before.spec), ceremonyId(spec)))
        return doubleAuthorization(verifyEd25519, index, before, { spec, signature })
      seen.set(place, { spec, signature })
      const [oldest] = seen.keys()
      if (seen.size > MAX_REMEMBERED && oldest !== undefined) seen.delete(oldest)
      return undefined
    },
  }
}
