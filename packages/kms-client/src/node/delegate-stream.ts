import type { Stream } from '@libp2p/interface'
import { concatBytes } from '@noble/hashes/utils.js'
import { type Answer, type Authorization, id32, participantIndex, refusalCode, SIGNATURE_BYTES } from '@tkms/dkg'
import { tkms } from '@tkms/proto'
import * as lengthPrefixed from 'it-length-prefixed'
import { isKmsError } from '../errors.ts'
import { transportError } from '../transport/exchange.ts'
import type { TransportCall, TransportReply } from '../transport/types.ts'
import { createSlots } from './slots.ts'

const { DelegateCall, DelegateReply } = tkms.v1

/** Requests under way on one stream. A node's own window is at least as large. */
const WINDOW = 64
/** Requests waiting for a place in the window. */
const MAX_WAITING = 1_024
/** 256 items in a box for an RSA-8192 key are below 32 KiB. */
const MAX_FRAME_BYTES = 65_536
const MAX_TOGETHER_BYTES = 60 * 1024
const MAX_CORRELATION_ID = 0xffffffff

interface PendingCall {
  readonly maxReplyBytes: number
  resolve(reply: TransportReply): void
  reject(error: Error): void
}

/** One long-lived stream to one node: requests go out as they come, replies come back in the order they are ready. */
export interface DelegateStream {
  readonly open: boolean
  /** @throws KmsError `unreachable`, `bad-reply`; the signal's reason once it fires (the node is told to stop) */
  ask(authorization: Authorization, options: TransportCall): Promise<TransportReply>
  close(): void
}

/**
 * Speaks `/tkms/delegate/1.0.0` on a fresh stream: length-prefixed frames with correlation ids.
 * Back-pressure: at most WINDOW requests are unanswered, frames are written one after the other and wait for the stream to drain.
 * Anything that breaks the framing aborts the stream and fails all its calls; so does a node that says nothing for `silenceMs` to a
 * request that is then given up, for the connection may be dead without anybody having been told.
 */
export function openDelegateStream(stream: Stream, options: { readonly silenceMs: number }): DelegateStream {
  const { silenceMs } = options
  const pending = new Map<number, PendingCall>()
  const abandoned = new Set<number>()
  const slots = createSlots({ size: WINDOW, maxWaiting: MAX_WAITING })
  let lastId = 0
  let heardMs = performance.now()
  const outgoing: Outgoing[] = []
  let writing = false
  let failure: Error | undefined

  function fail(error: Error): void {
    if (failure !== undefined) return
    failure = error
    stream.abort(error)
    for (const call of pending.values()) call.reject(error)
    pending.clear()
  }

  function nextId(): number {
    do lastId = lastId === MAX_CORRELATION_ID ? 1 : lastId + 1
    while (pending.has(lastId) || abandoned.has(lastId))
    return lastId
  }

  /** Frames of one turn of the event loop leave together: each sending costs both sides the same, however much it carries. */
  function write(frame: Uint8Array, isWanted: () => boolean): void {
    outgoing.push({ frame, isWanted })
    if (writing) return
    writing = true
    process.nextTick(() => {
      writeAll().catch((error: unknown) => fail(transportError('unreachable', 'the stream broke off', error)))
    })
  }

  async function writeAll(): Promise<void> {
    try {
      while (outgoing.length > 0) {
        await drained(stream)
        if (failure !== undefined) return
        const frames = takeTogether(outgoing)
        if (frames.length > 0) stream.send(concatBytes(...lengthPrefixed.encode(frames)))
      }
    } finally {
      writing = false
    }
  }

  function receive(frame: Uint8Array): void {
    heardMs = performance.now()
    const reply = DelegateReply.decode(frame)
    const call = pending.get(reply.correlationId)
    if (call === undefined) {
      if (!abandoned.delete(reply.correlationId)) throw transportError('bad-reply', 'a reply to no request')
      return
    }
    pending.delete(reply.correlationId)
    try {
      call.resolve(readReply(reply, call.maxReplyBytes))
    } catch (error) {
      if (!isKmsError(error)) throw error
      call.reject(error)
    }
  }

  /** libp2p buffers without a limit what an iterator is not asked for; this loop waits for nothing but the next frame. */
  async function readAll(): Promise<void> {
    try {
      for await (const frame of lengthPrefixed.decode(stream, { maxDataLength: MAX_FRAME_BYTES }))
        receive(frame.slice())
      fail(transportError('unreachable', 'the node ended the stream'))
    } catch (error) {
      fail(transportError('unreachable', 'the stream broke off', error))
    }
  }

  function exchange(
    authorization: Authorization,
    { signal, maxReplyBytes, token }: TransportCall,
  ): Promise<TransportReply> {
    const correlationId = nextId()
    const askedMs = performance.now()
    let written = false
    const isWanted = (): boolean => (written = pending.has(correlationId))
    return new Promise((resolve, reject) => {
      const cancel = (): void => {
        pending.delete(correlationId)
        reject(signal.reason as Error)
        if (heardMs < askedMs && performance.now() - askedMs >= silenceMs)
          return fail(transportError('unreachable', 'the node is silent'))
        if (!written) return
        if (abandoned.size < MAX_WAITING) abandoned.add(correlationId)
        else fail(transportError('unreachable', 'the node leaves too many cancelled requests unanswered'))
        write(DelegateCall.encode({ correlationId, cancel: {} }).finish(), () => true)
      }
      const finish = (): void => signal.removeEventListener('abort', cancel)
      pending.set(correlationId, {
        maxReplyBytes,
        resolve: (reply) => {
          finish()
          resolve(reply)
        },
        reject: (error) => {
          finish()
          reject(error)
        },
      })
      signal.addEventListener('abort', cancel, { once: true })
      const call = { correlationId, request: authorization, ...(token === undefined ? {} : { token }) }
      write(DelegateCall.encode(call).finish(), isWanted)
    })
  }

  void readAll()
  return {
    get open() {
      return failure === undefined
    },
    ask: (authorization, call) =>
      slots.run(call.signal, () => {
        if (failure !== undefined) throw failure
        return exchange(authorization, call)
      }),
    close: () => fail(transportError('unreachable', 'the client closed the stream')),
  }
}

interface Outgoing {
  readonly frame: Uint8Array
  /** Asked when it would be sent. */
  readonly isWanted: () => boolean
}

/** The first frames that are still wanted, and no more than a Noise message holds; one where it alone is longer. */
function takeTogether(outgoing: Outgoing[]): readonly Uint8Array[] {
  const taken: Uint8Array[] = []
  let bytes = 0
  for (let next = outgoing[0]; next !== undefined; next = outgoing[0]) {
    if (bytes > 0 && bytes + next.frame.length > MAX_TOGETHER_BYTES) break
    outgoing.shift()
    if (!next.isWanted()) continue
    taken.push(next.frame)
    bytes += next.frame.length
  }
  return taken
}

/** Waits until the stream takes more, or is closed. (libp2p's own `onDrain` waits for the first time only.) */
function drained(stream: Stream): Promise<void> {
  if (!stream.writableNeedsDrain || stream.status !== 'open') return Promise.resolve()
  return new Promise((resolve) => {
    const check = (): void => {
      if (stream.writableNeedsDrain && stream.status === 'open') return
      stream.removeEventListener('drain', check)
      stream.removeEventListener('close', check)
      resolve()
    }
    stream.addEventListener('drain', check)
    stream.addEventListener('close', check)
  })
}

function readReply(reply: tkms.v1.DelegateReply, maxReplyBytes: number): TransportReply {
  if (reply.body === 'answer' && reply.answer !== null && reply.answer !== undefined) {
    const answer = tkms.v1.Answer.create(reply.answer)
    if (answer.box.length > maxReplyBytes)
      throw transportError('bad-reply', `the box has more than ${maxReplyBytes} bytes`)
    return { kind: 'answer', answer: readAnswer(answer) }
  }
  if (reply.body !== 'refusal' || reply.refusal === null || reply.refusal === undefined)
    throw transportError('bad-reply', 'the reply is neither an answer nor a refusal')
  const { status, skewSeconds } = tkms.v1.Refusal.create(reply.refusal)
  const code = refusalCode(status)
  if (code === undefined) throw transportError('bad-reply', 'the refusal has an unknown status')
  return code === 'clock-skew' ? { kind: 'refusal', code, skewSeconds } : { kind: 'refusal', code }
}

function readAnswer({ index, sharingId, requestId, box, signature }: tkms.v1.Answer): Answer {
  if (
    signature.length !== SIGNATURE_BYTES ||
    requestId.length !== 32 ||
    sharingId.length !== 32 ||
    index < 1 ||
    index > 0xffff
  )
    throw transportError('bad-reply', 'the answer has a field of a wrong length')
  return {
    index: participantIndex(index),
    sharingId: id32(sharingId.slice(), 'sharingId'),
    requestId: requestId.slice(),
    box: box.slice(),
    signature: signature.slice(),
  }
}
