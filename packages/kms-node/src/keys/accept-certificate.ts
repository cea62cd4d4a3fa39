import {
  advanceKey,
  checkCertificate,
  configHash,
  type KeyId,
  KmsError,
  mayBegin,
  mayPrecede,
  type VerifiedKey,
  verifyCertificate,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { KeyBook } from './key-book.ts'
import { type RecallPorts, recallKey } from './known-sharing.ts'
import { laterFirst } from './life.ts'

export interface AcceptPorts extends RecallPorts {
  readonly book: KeyBook
  /** Of the genesis committee that this node joined, 32 bytes. */
  readonly pinned: Uint8Array
}

/** What was learned of one key. */
export interface Accepted {
  /** New certificates, each verified through the one before it, in order. */
  readonly steps: readonly VerifiedKey[]
  /** Why others were not followed: `bad-certificate`, `degraded-certificate` with `data.configHash`. */
  readonly refused: readonly KmsError[]
}

/**
 * Follows certificates of one key, from anybody, from the latest that is known, or from a committee that may begin it (protocol 4).
 * @param accepted config hashes, 32 bytes each, of committees that the operator takes on a degraded AUTH; no key begins with them
 */
export function acceptCertificates(
  ports: AcceptPorts,
  keyId: KeyId,
  candidates: readonly Uint8Array[],
  accepted: readonly Uint8Array[] = [],
): Accepted {
  const { curve, verify, book } = ports
  const refused: KmsError[] = []
  const latest = book.get(keyId)?.sharings[0]?.key
  const start = latest ?? genesisAmong(ports, candidates, refused)
  if (start === undefined) return { steps: [], refused }
  const advance = advanceKey(curve, verify, start, candidates, accepted)
  if (latest !== undefined) return { steps: advance.steps, refused: [...refused, ...advance.refused] }
  const steps = [start, ...advance.steps]
  if (mayPrecede(ports.pinned, reachedBy(book), steps)) return { steps, refused: [...refused, ...advance.refused] }
  const problem =
    'its chain does not lead to the committee that began a later generation of its name, which is known here'
  return { steps: [], refused: [...refused, new KmsError('bad-certificate', problem)] }
}

const reachedBy = (book: KeyBook): readonly VerifiedKey[] =>
  book.list().flatMap(({ sharings }) => sharings.map(({ key }) => key))

/** The earliest candidate of a committee that may begin this key, by the same rule as clients have. */
function genesisAmong(
  { curve, verify, book, pinned }: AcceptPorts,
  candidates: readonly Uint8Array[],
  refused: KmsError[],
): VerifiedKey | undefined {
  const reached = reachedBy(book)
  const found = candidates.flatMap((bytes) => {
    try {
      const recalled = recallKey({ curve }, bytes)
      if (!mayBegin(pinned, reached, recalled))
        throw new KmsError(
          'bad-certificate',
          'made by another committee than the pinned one, and no pinned one leads to it',
        )
      return [verifyCertificate(curve, verify, bytes, { configHash: configHash(recalled.config) })]
    } catch (error) {
      if (!isKmsError(error)) throw error
      refused.push(error)
      return []
    }
  })
  return found.toSorted((left, right) => laterFirst(right, left))[0]
}

/**
 * The certificate of a ceremony of this node. A late one, of an epoch or attempt that is left behind, needs to hold in itself only:
 * nothing is served or erased on its word.
 * @param approvedHere this node's operator approved its X, and with it the new committee
 * @returns `late` where a later certificate is known
 * @throws KmsError `bad-certificate`, `degraded-certificate`
 */
export function acceptOwn(
  ports: AcceptPorts,
  certificate: Uint8Array,
  approvedHere: boolean,
): { readonly key: VerifiedKey; readonly late: boolean } {
  const claimed = recallKey(ports, certificate)
  const latest = ports.book.get(claimed.keyId)?.sharings[0]
  const known = ports.book.sharing(claimed.sharingId)
  if (known !== undefined) return { key: known.key, late: latest !== known }
  if (latest !== undefined && laterFirst(latest, claimed) < 0)
    return { key: { ...checkCertificate(ports.curve, ports.verify, certificate), trustedBy: 'chain' }, late: true }
  const accepted = approvedHere ? [configHash(claimed.config)] : []
  const { steps, refused } = acceptCertificates(ports, claimed.keyId, [certificate], accepted)
  const key = steps.at(-1)
  if (key !== undefined) return { key, late: false }
  throw refused[0] ?? new KmsError('bad-certificate', 'no certificate that this node knows leads to it')
}
