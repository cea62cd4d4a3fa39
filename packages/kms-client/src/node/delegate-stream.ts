import type { Stream } from '@libp2p/interface'
import { type Answer, type Authorization, id32, participantIndex, refusalCode, SIGNATURE_BYTES } from '@tkms/dkg'
import { tkms } from '@tkms/proto'
import * as lengthPrefixed from 'it-length-prefixed'
import { isKmsError } from '../errors.ts'
import { transportError } from '../transport/exchange.ts'
import type { TransportReply } from '../transport/types.ts'
import { createSlots } from './slots.ts'

const { DelegateCall, DelegateReply } = tkms.v1

/** Requests under way on one stream. A node's own window is at least as large. */
const WINDOW = 64
/** Requests waiting for a place in the window. */
const MAX_WAITING = 1_024
/** 256 items in a box for an RSA-8192 key are below 32 KiB. */
const MAX_FRAME_BYTES = 65_536
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
  ask(
    authorization: Authorization,
    options: { readonly signal: AbortSignal; readonly maxReplyBytes: number },
  ): Promise<TransportReply>
  close(): void
}

/**
 * Speaks `/tkms/delegate/1.0.0` on a fresh stream: length-prefixed frames with correlation ids.
 * Back-pressure: at most WINDOW requests are unanswered, frames are written one after the other and wait for the stream to drain.
 * Anything that breaks the framing aborts the stream and fails all its calls.
 */
export function openDelegateStream(stream: Stream): DelegateStream {
  const pending = new Map<number, PendingCall>()
  const abandoned = new Set<number>()
  const slots = createSlots({ size: WINDOW, maxWaiting: MAX_WAITING })
  let lastId = 0
  let writing: Promise<void> = Promise.resolve()
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

  function write(frame: Uint8Array): void {
    writing = writing
      .then(async () => {
        if (failure !== undefined) return
        if (stream.writableNeedsDrain) await stream.onDrain()
        stream.send(lengthPrefixed.encode.single(frame))
      })
      .catch((error: unknown) => fail(transportError('unreachable', 'the stream broke off', error)))
  }

  function receive(frame: Uint8Array): void {
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
    options: { readonly signal: AbortSignal; readonly maxReplyBytes: number },
  ): Promise<TransportReply> {
    const correlationId = nextId()
    return new Promise((resolve, reject) => {
      const cancel = (): void => {
        pending.delete(correlationId)
        if (abandoned.size < MAX_WAITING) abandoned.add(correlationId)
        else fail(transportError('unreachable', 'the node leaves too many cancelled requests unanswered'))
        write(DelegateCall.encode({ correlationId, cancel: {} }).finish())
        reject(options.signal.reason as Error)
      }
      const finish = (): void => options.signal.removeEventListener('abort', cancel)
      pending.set(correlationId, {
        maxReplyBytes: options.maxReplyBytes,
        resolve: (reply) => {
          finish()
          resolve(reply)
        },
        reject: (error) => {
          finish()
          reject(error)
        },
      })
      options.signal.addEventListener('abort', cancel, { once: true })
      write(DelegateCall.encode({ correlationId, request: authorization }).finish())
    })
  }

  void readAll()
  return {
    get open() {
      return failure === undefined
    },
    ask: (authorization, options) =>
      slots.run(options.signal, () => {
        if (failure !== undefined) throw failure
        return exchange(authorization, options)
      }),
    close: () => fail(transportError('unreachable', 'the client closed the stream')),
  }
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
