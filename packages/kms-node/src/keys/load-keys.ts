import { bytesKey, type Secret } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { KeyTable } from '../serve/key-table.ts'
import { certificateNames } from './certificate-names.ts'
import type { KeyBook } from './key-book.ts'
import { knownSharing, newRecord, recallKey, recheckKey, type RecallPorts } from './known-sharing.ts'
import { laterFirst } from './life.ts'
import type { SharingRecord } from './sharing-record.ts'
import type { StoredKeys } from './share-store.ts'

/** A record that this node cannot use. It stays in the store until a share that holds takes its place, or its sharing is erased. */
export interface KeyProblem {
  /** Hex; of the record's id where nothing else is known. */
  readonly sharingId: string
  /** Code of the KmsError that says why. */
  readonly code: string
}

interface Draft {
  readonly record: SharingRecord
  readonly share: Secret | undefined
  readonly damaged: boolean
}

/**
 * Fills the book and the table with what the store holds, after the self-check of protocol 5: every signature of the certificates that
 * this node serves under, and share * G == Y_j. What does not hold is reported and leaves the rest alone.
 */
export function loadKeys(
  ports: RecallPorts & { readonly book: KeyBook; readonly table: KeyTable },
  stored: StoredKeys,
): readonly KeyProblem[] {
  const problems: KeyProblem[] = stored.damaged.map(({ id, code }) => ({ sharingId: id, code }))
  const attempt = <T>(id: string, check: () => T): T | undefined => {
    try {
      return check()
    } catch (error) {
      if (!isKmsError(error)) throw error
      problems.push({ sharingId: id, code: error.code })
      return undefined
    }
  }
  for (const key of stored.destroyed) ports.book.destroy(key)
  for (const group of draftsByKey(stored).values()) {
    const ordered = group
      .flatMap((draft) => {
        const id = sharingOf(draft.record.certificate)
        const key = attempt(id, () => recallKey(ports, draft.record.certificate))
        if (key === undefined) draft.share?.destroy()
        return key === undefined ? [] : [{ id, key, draft, epoch: key.epoch, attempt: key.attempt }]
      })
      .toSorted(laterFirst)
    for (const [at, { id, key, draft }] of ordered.entries()) {
      const { record, share } = draft
      const served = at === 0 || share !== undefined
      const checked = served ? attempt(id, () => recheckKey(ports, record.certificate)) : key
      const held =
        checked !== undefined &&
        share !== undefined &&
        attempt(id, () => ports.table.hold(checked, share)) !== undefined
      if (checked === undefined) share?.destroy()
      else
        ports.book.put(
          knownSharing(ports, {
            key: checked,
            record,
            hasShare: held,
            damaged: draft.damaged || (share !== undefined && !held),
          }),
        )
    }
  }
  return problems
}

/**
 * A share without a sharing record is what a crash between the two leaves, or an older version of this program: its ceremony had verified
 * the certificate. Nothing is erased on its word until the ceremony says so again. A share whose sharing record is damaged stays aside: it could be an erased one.
 */
function draftsByKey({ sharings, shares, damaged }: StoredKeys): ReadonlyMap<string, readonly Draft[]> {
  const damagedOf = (kind: string): ReadonlySet<string> =>
    new Set(damaged.flatMap((record) => (record.kind === kind ? [record.id] : [])))
  const [damagedShares, damagedSharings] = [damagedOf('share'), damagedOf('sharing')]
  const unclaimed = new Map(shares.map((stored) => [sharingOf(stored.certificate), stored]))
  const drafts = sharings.map((record): Draft => {
    const id = sharingOf(record.certificate)
    const share = unclaimed.get(id)?.share
    unclaimed.delete(id)
    return { record, share, damaged: damagedShares.has(id) }
  })
  for (const [id, { certificate, share }] of unclaimed) {
    const seen = { reading: { ranMs: 0, totalMs: 0 }, atMs: 0 }
    const record = newRecord(certificate, seen, { mayErase: false, refusesEarlier: false })
    if (damagedSharings.has(id)) share?.destroy()
    else drafts.push({ record, share, damaged: false })
  }
  const groups = new Map<string, Draft[]>()
  for (const draft of drafts) {
    const name = bytesKey(certificateNames(draft.record.certificate).keyId)
    groups.set(name, [...(groups.get(name) ?? []), draft])
  }
  return groups
}

const sharingOf = (certificate: Uint8Array): string => bytesKey(certificateNames(certificate).sharingId)
