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
  answer(frames: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array>
}

/**
 * Replies come in the order they are ready. Reading stops at `window` requests under way and while replies are not taken,
 * so a client that does not read its answers cannot make the node compute more of them.
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
    const cancelled = new AbortController()
    calls.set(correlationId, cancelled)
    const signal = AbortSignal.any([params.signal, cancelled.signal])
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

  async function* answer(frames: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
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
        const reply = ready.shift()
        if (reply !== undefined) {
          wakeReader()
          yield reply
        } else if (failure !== undefined) throw failure
        else if (!reading && calls.size === 0) return
        else await new Promise<void>((resolve) => (wakeWriter = resolve))
      }
    } finally {
      finished = true
      for (const call of calls.values()) call.abort(netError('stream-closed', 'the stream ended'))
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
