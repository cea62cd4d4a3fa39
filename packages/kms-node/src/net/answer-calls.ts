import { concatBytes } from '@noble/hashes/utils.js'
import type { Authorization } from '@tkms/dkg'
import { bearerTokenHash } from '../serve/bearer-token.ts'
import type { DelegationCall } from '../serve/pipeline.ts'
import { decodeDelegateCall, type DelegateCall, type DelegationOutcome, encodeDelegateReply } from './delegate-frame.ts'
import { netError } from './errors.ts'

/** The delegation pipeline, as a transport sees it. Never throws for bad input. */
export interface DelegationHandler {
  handle(authorization: Authorization, call: DelegationCall): Promise<DelegationOutcome>
}

export interface AnswerCallsParams {
  readonly handler: DelegationHandler
  readonly remote: string
  readonly address: string
  readonly signal: AbortSignal
  /** Requests under way at once. A client that keeps within it can always cancel. */
  readonly window: number
  readonly onInternalError: (cause: unknown) => void
}

type RequestCall = Extract<DelegateCall, { type: 'request' }>

/** A bounded parallel map over one stream's frames, and how many of its requests are under way. */
export interface CallAnswerer {
  readonly underWay: number
  /** @returns one or more replies at a time, each with its length before it */
  answer(frames: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array>
}

/** Replies that leave together have no more bytes than this, unless one alone has: a Noise message holds about as much. */
const MAX_TOGETHER_BYTES = 60 * 1024

/**
 * Replies come in the order they are ready; those that become ready in one turn of the event loop leave together. Reading stops at
 * `window` requests under way and while replies are not taken, so a client that does not read its answers cannot make the node
 * compute more of them.
 */
export function createCallAnswerer(params: AnswerCallsParams): CallAnswerer {
  const { handler, remote, address, window } = params
  const calls = new Map<number, AbortController>()
  const ready: Uint8Array[] = []
  let finished = false
  let failure: Error | undefined
  let wakeWriter: () => void = () => {}
  let wakeReader: () => void = () => {}

  const run = async ({ correlationId, authorization, token }: RequestCall): Promise<void> => {
    const ended = new AbortController()
    calls.set(correlationId, ended)
    const { signal } = ended
    if (params.signal.aborted) ended.abort(params.signal.reason)
    const tokenHash = token === undefined ? {} : { tokenHash: bearerTokenHash(token) }
    const outcome = await handler
      .handle(authorization, { remote, address, ...tokenHash, signal })
      .catch((cause: unknown) => {
        params.onInternalError(cause)
        return { kind: 'refusal', code: 'internal' } as const
      })
    calls.delete(correlationId)
    ready.push(encodeDelegateReply(correlationId, outcome))
    wakeWriter()
    wakeReader()
  }

  const read = async (frames: AsyncIterable<Uint8Array>): Promise<void> => {
    for await (const frame of frames) {
      const call = decodeDelegateCall(frame)
      if (call.type === 'cancel') {
        calls.get(call.correlationId)?.abort(netError('stream-closed', 'the caller cancelled'))
        continue
      }
      if (calls.has(call.correlationId)) throw netError('bad-frame', 'two calls under way have the same correlation id')
      void run(call)
      while (calls.size + ready.length >= window && !params.signal.aborted && !finished)
        await new Promise<void>((resolve) => (wakeReader = resolve))
    }
  }

  const takeReady = (): Uint8Array => {
    let [bytes, count] = [0, 0]
    for (const { length } of ready) {
      if (count > 0 && bytes + length > MAX_TOGETHER_BYTES) break
      bytes += length
      count++
    }
    const taken = ready.splice(0, count)
    const [only] = taken
    return only !== undefined && taken.length === 1 ? only : concatBytes(...taken)
  }

  /** The writer goes on once everything that can run now has run: what becomes ready meanwhile leaves with what woke it. */
  const untilWoken = (): Promise<void> =>
    new Promise((resolve) => {
      wakeWriter = () => {
        wakeWriter = () => {}
        process.nextTick(resolve)
      }
    })

  async function* answer(frames: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const endAll = (reason: unknown): void => {
      for (const call of calls.values()) call.abort(reason)
    }
    const onAbort = (): void => endAll(params.signal.reason)
    params.signal.addEventListener('abort', onAbort, { once: true })
    let reading = true
    const reader = read(frames)
      .catch((cause: unknown) => {
        failure = cause instanceof Error ? cause : netError('stream-closed', 'the stream ended', { cause })
      })
      .finally(() => {
        reading = false
        wakeWriter()
      })
    try {
      while (true) {
        if (ready.length > 0) {
          const replies = takeReady()
          wakeReader()
          yield replies
        } else if (failure !== undefined) throw failure
        else if (!reading && calls.size === 0) return
        else await untilWoken()
      }
    } finally {
      finished = true
      params.signal.removeEventListener('abort', onAbort)
      endAll(netError('stream-closed', 'the stream ended'))
      wakeReader()
      void reader
    }
  }

  return {
    get underWay() {
      return calls.size + ready.length
    },
    answer,
  }
}
