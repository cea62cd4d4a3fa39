import {
  combineSharing,
  type Curve,
  type KmsError,
  type ParticipantIndex,
  type PointBytes,
  type RequestItem,
  type VerifiedKey,
} from '@tkms/dkg'
import { isKmsError, type NodeFailure } from './errors.ts'
import type { SignedAnswer } from './open-answer.ts'
import { createPauses } from './pauses.ts'

/** One item of a question, with what its answer is for. */
export interface AskedItem {
  readonly item: RequestItem
  /**
   * Opens what commits to s*K, and so tells a wrong point from the right one (protocol 10.1, optimistic mode). Borrows the point.
   * Absent where nothing commits to it: then every proof is verified before anything is combined.
   * @throws KmsError where the point is not the one, or what it opens is malformed
   */
  readonly open?: (point: PointBytes) => Uint8Array
}

/** What became of one item. */
export type ItemResult =
  | { readonly kind: 'opened'; readonly plaintext: Uint8Array }
  /** s*K, from proven partials; the caller wipes it. */
  | { readonly kind: 'point'; readonly point: PointBytes }
  /** All proofs hold, and yet it does not open: what was asked about is malformed, and nobody is to blame. */
  | { readonly kind: 'malformed'; readonly error: KmsError }
  /** Fewer than t of the answers have a partial for it: these nodes refused it. */
  | { readonly kind: 'refused'; readonly by: readonly ParticipantIndex[] }

export interface Settlement {
  /**
   * Settles what these answers can; at least t of them. @returns one failure per answer that is proven wrong: none = done
   * @param isOver whether nobody waits for it any more
   */
  judge(answers: ReadonlyMap<ParticipantIndex, SignedAnswer>, isOver: () => boolean): Promise<readonly NodeFailure[]>
  /** One per item, in the order asked, once `judge` has found nothing wrong. */
  results(): readonly ItemResult[]
}

/**
 * Combines t answers item by item (protocol 10.1). Where an item says by itself whether the point is right, no proof is verified
 * until it does not; then all proofs of that item are. Partials are never tried in other combinations.
 * @param input.proven whether every proof was verified when its answer came
 */
export function settleItems(input: {
  readonly curve: Curve
  readonly key: VerifiedKey
  readonly items: readonly AskedItem[]
  readonly proven: boolean
}): Settlement {
  const { curve, key, items, proven } = input
  const settled = new Map<number, ItemResult>()
  let judged: readonly SignedAnswer[] = []
  const refusersOf = (at: number): readonly ParticipantIndex[] =>
    judged.filter(({ items: answered }) => answered[at]?.kind === 'refusal').map(({ index }) => index)

  /** @returns the answers whose proof of this item fails */
  async function settle(
    { open }: AskedItem,
    at: number,
    answers: readonly SignedAnswer[],
  ): Promise<readonly SignedAnswer[]> {
    const partials = answers.flatMap(({ index, items: answered }) => {
      const item = answered[at]
      return item?.kind === 'partial' ? [{ index, sharingId: key.sharingId, D: item.D }] : []
    })
    if (partials.length < key.t) return []
    if (open === undefined) {
      settled.set(at, { kind: 'point', point: combineSharing(curve, key, partials) })
      return []
    }
    const point = combineSharing(curve, key, partials)
    try {
      settled.set(at, { kind: 'opened', plaintext: open(point) })
      return []
    } catch (error) {
      if (!isKmsError(error)) throw error
      const wrong = proven ? [] : await unproven(answers, at)
      if (wrong.length === 0) settled.set(at, { kind: 'malformed', error })
      return wrong
    } finally {
      point.fill(0)
    }
  }

  async function unproven(answers: readonly SignedAnswer[], at: number): Promise<readonly SignedAnswer[]> {
    const pause = createPauses()
    const wrong: SignedAnswer[] = []
    for (const answer of answers) {
      await pause()
      if (!answer.proves(at)) wrong.push(answer)
    }
    return wrong
  }

  return {
    async judge(answers, isOver) {
      const pause = createPauses()
      const wrong = new Set<SignedAnswer>()
      const good = (): SignedAnswer[] => [...answers.values()].filter((answer) => !wrong.has(answer))
      for (const [at, item] of items.entries()) {
        if (settled.has(at) || good().length < key.t) continue
        await pause()
        if (isOver()) break
        for (const answer of await settle(item, at, good())) wrong.add(answer)
      }
      judged = good()
      return [...wrong].map((answer) => answer.blame())
    },
    results: () => items.map((_item, at) => settled.get(at) ?? { kind: 'refused', by: refusersOf(at) }),
  }
}
