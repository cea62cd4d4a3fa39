import type { KeyStanding } from '../serve/key-table.ts'
import type { BookEntry } from './key-book.ts'
import type { LivingSharing } from './keeper-types.ts'
import type { SharingLife } from './life.ts'

/** How requests for a key are answered, from the life of its sharings. */
export function standingOf(
  { keyId, destroyed }: BookEntry,
  lives: readonly SharingLife<LivingSharing>[],
  isOpen: boolean,
): KeyStanding | undefined {
  const [latest] = lives
  if (latest === undefined) return destroyed === undefined ? undefined : { keyId, refusal: 'destroyed', sharings: [] }
  const refusal = destroyed !== undefined ? 'destroyed' : isOpen ? undefined : 'not-ready'
  return {
    keyId,
    purpose: latest.sharing.key.purpose,
    ...(refusal !== undefined && { refusal }),
    sharings: lives.map((life) => ({
      sharingId: life.sharing.key.sharingId,
      answer: life.servable ? 'serve' : life === latest ? 'no-share' : 'superseded',
    })),
  }
}
