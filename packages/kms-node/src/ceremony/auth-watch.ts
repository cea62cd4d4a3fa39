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
import { writeEvidence } from './evidence-files.ts'
import type { CeremonyRunPorts } from './run-ports.ts'

/** Signatures remembered, over all slots; the oldest goes first. */
const MAX_REMEMBERED = 4096

/** Notices a member that authorizes two X of one slot and attempt, which proves it faulty (protocol 7, E2). */
export interface AuthorizationWatch {
  /** @returns the fault, once its second half was seen */
  see(spec: CeremonySpec, entry: MemberSignature): Fault | undefined
}

/** Watches, writes the evidence down and says so in the log. */
export function reportDoubleAuthorizations({
  evidenceDirectory,
  nameOf,
  log,
}: Pick<CeremonyRunPorts, 'evidenceDirectory' | 'nameOf' | 'log'>): CeremonyRunPorts['onAuthorization'] {
  const watch = createAuthorizationWatch()
  return (spec, entry) => {
    const fault = watch.see(spec, entry)
    if (fault === undefined) return
    const { culprit, kind, summary } = fault
    writeEvidence(evidenceDirectory, ceremonyId(spec), fault)
      .then((file) => log.warn({ culprit: nameOf(culprit), kind, summary, file }, 'ceremony-fault'))
      .catch((cause: unknown) => log.error({ cause: String(cause) }, 'evidence-not-written'))
  }
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
