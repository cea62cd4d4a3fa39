import {
  type ArchivedDealing,
  bytesKey,
  type CeremonyEffect,
  type CeremonyId,
  decodeAll,
  equalBytes,
  list,
  MAX_CERTIFICATE_BYTES,
  participantIndex,
  Secret,
  u16,
  varBytes,
} from '@tkms/dkg'
import { concatBytes } from '@noble/hashes/utils.js'
import type { CeremonyFrame } from '../net/ceremony-frame.ts'
import { maxCeremonyFrameBytes } from '../net/frame-caps.ts'
import type { RecordStore } from '../ports.ts'
import type { RoutedFrame } from './waiting-room.ts'

/** What remains of a decided ceremony: public, and enough to answer late members without an engine (protocol R5). */
export type CeremonyArchive = Pick<Extract<CeremonyEffect, { type: 'archive' }>, 'certificate' | 'dealings'>

const MAX_DEALING_BYTES = maxCeremonyFrameBytes({ n: 64, t: 63 })
const SUFFIX = '.archive'

const recordId = (ceremony: CeremonyId): string => `${bytesKey(ceremony)}${SUFFIX}`

/** var CERT || list(u16 dealer || dealHash(32) || var signed DEAL). */
export async function saveArchive(store: RecordStore, ceremony: CeremonyId, archive: CeremonyArchive): Promise<void> {
  const record = new Secret(
    concatBytes(
      varBytes(archive.certificate),
      list(archive.dealings, ({ dealer, dealHash, signed }) => concatBytes(u16(dealer), dealHash, varBytes(signed))),
    ),
  )
  try {
    await store.put('ceremony', recordId(ceremony), record)
  } finally {
    record.destroy()
  }
}

/** @throws KmsError `bad-encoding` when the record is damaged */
export async function loadArchive(store: RecordStore, ceremony: CeremonyId): Promise<CeremonyArchive | undefined> {
  const record = await store.get('ceremony', recordId(ceremony))
  if (record === undefined) return undefined
  try {
    return record.use((bytes) =>
      decodeAll(bytes, 'archive', (reader) => ({
        certificate: reader.var(MAX_CERTIFICATE_BYTES, 'archive.certificate'),
        dealings: reader.list({ min: 0, max: 64 }, 'archive.dealings', (item) => ({
          dealer: participantIndex(item.u16('archive.dealings.dealer')),
          dealHash: item.take(32, 'archive.dealings.dealHash'),
          signed: item.var(MAX_DEALING_BYTES, 'archive.dealings.signed'),
        })),
      })),
    )
  } finally {
    record.destroy()
  }
}

/** The answer to a late frame: the DEAL that was asked for, else the certificate. None to a certificate: two decided nodes would never end. */
export function answerLate(
  ceremony: CeremonyId,
  archive: CeremonyArchive,
  frame: RoutedFrame,
): CeremonyFrame | undefined {
  if (frame.type === 'message' || frame.type === 'statusRequest')
    return { type: 'certificate', ceremony, certificate: archive.certificate }
  if (frame.type !== 'fetch') return undefined
  const named = (dealing: ArchivedDealing): boolean => equalBytes(dealing.dealHash, frame.dealHash)
  const dealing = archive.dealings.find(named)
  return dealing === undefined ? undefined : { type: 'message', ceremony, signed: dealing.signed }
}
