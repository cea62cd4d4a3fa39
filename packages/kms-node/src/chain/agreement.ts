import { bytesKey } from '@tkms/dkg'
import type { EndpointAnswer, EndpointReply } from './endpoint.ts'

/** What came of asking several sources. */
export type Agreement =
  | { readonly kind: 'agreed'; readonly answer: EndpointAnswer }
  /** One fixed word per source that was heard and is not of the largest group: "2:timeout", "3:disagrees". */
  | { readonly kind: 'split'; readonly problems: readonly string[] }

/** The smallest number of sources that is more than half of them. */
export const majority = (sources: number): number => Math.floor(sources / 2) + 1

/**
 * Asks all sources at once. Ends as soon as `required` gave the same answer, or no answer can get there any more; the others are
 * then told to stop. No source rejects: what goes wrong is a reply.
 * @param question.required more than half of the sources, so that at most one answer can win
 */
export async function agree(question: {
  readonly sources: readonly ((signal: AbortSignal) => Promise<EndpointReply>)[]
  readonly required: number
  readonly signal: AbortSignal
}): Promise<Agreement> {
  const { sources, required, signal } = question
  const stop = new AbortController()
  const replies: (EndpointReply | undefined)[] = sources.map(() => undefined)
  const votes = new Map<string, number>()
  let outstanding = sources.length
  const { promise, resolve } = Promise.withResolvers<Agreement>()
  const take = (reply: EndpointReply, at: number): void => {
    replies[at] = reply
    outstanding--
    if (reply.kind !== 'problem') {
      const count = (votes.get(nameOf(reply)) ?? 0) + 1
      votes.set(nameOf(reply), count)
      if (count >= required) return resolve({ kind: 'agreed', answer: reply })
    }
    if (Math.max(0, ...votes.values()) + outstanding < required)
      resolve({ kind: 'split', problems: describe(replies, votes) })
  }
  const each = AbortSignal.any([signal, stop.signal])
  for (const [at, ask] of sources.entries()) void ask(each).then((reply) => take(reply, at))
  try {
    return await promise
  } finally {
    stop.abort()
  }
}

const nameOf = (answer: EndpointAnswer): string => (answer.kind === 'reverted' ? 'reverted' : bytesKey(answer.bytes))

function describe(
  replies: readonly (EndpointReply | undefined)[],
  votes: ReadonlyMap<string, number>,
): readonly string[] {
  const [largest] = [...votes].toSorted(([, left], [, right]) => right - left)
  return replies.flatMap((reply, at) => {
    if (reply === undefined) return []
    if (reply.kind === 'problem') return [`${at + 1}:${reply.problem}`]
    return nameOf(reply) === largest?.[0] ? [] : [`${at + 1}:disagrees`]
  })
}
