import type { Stream } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'
import { netError } from './errors.ts'

const LONGEST_TIMER_MS = 2 ** 31 - 1

export type Chunk = Uint8Array | Uint8ArrayList

export interface ReadLimits {
  readonly signal: AbortSignal
  /** The stream is paused while more than this is waiting for the consumer. */
  readonly highWaterBytes: number
  /** How much longer to wait for the next chunk; asked again when that has passed, 0 or less ends the stream. */
  readonly remainingMs: () => number
}

/**
 * The chunks of a stream, with back-pressure: the stream is paused while the consumer is busy, so the sender's window fills
 * and it stops. (libp2p's own iterator buffers without a limit.) Ends when the other side has closed its writing end.
 * @throws KmsError `stream-timeout` when nothing arrives in time, `stream-closed` when the stream is reset; the signal's reason
 */
export async function* readChunks(stream: Stream, limits: ReadLimits): AsyncGenerator<Chunk> {
  const queue: Chunk[] = []
  let queuedBytes = 0
  let ended = stream.readableEnded
  let failure: Error | undefined
  let wake: () => void = () => {}

  const onMessage = (event: { readonly data: Chunk }): void => {
    queue.push(event.data)
    queuedBytes += event.data.byteLength
    if (queuedBytes > limits.highWaterBytes) queueMicrotask(pauseIfFull)
    wake()
  }
  const pauseIfFull = (): void => {
    if (queuedBytes > limits.highWaterBytes && stream.readStatus === 'readable') stream.pause()
  }
  const onEnd = (): void => {
    ended = true
    wake()
  }
  const onClose = (event: { readonly error?: Error }): void => {
    ended = true
    if (event.error !== undefined) failure = netError('stream-closed', 'the stream was reset', { cause: event.error })
    wake()
  }
  const next = (): Promise<void> =>
    new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined
      const arm = (): void => {
        const remainingMs = limits.remainingMs()
        if (remainingMs > 0) timer = setTimeout(arm, Math.min(remainingMs, LONGEST_TIMER_MS))
        else finish(() => reject(netError('stream-timeout', 'nothing arrived in time')))
      }
      const finish = (settle: () => void): void => {
        clearTimeout(timer)
        limits.signal.removeEventListener('abort', onAbort)
        wake = () => {}
        settle()
      }
      const onAbort = (): void => finish(() => reject(limits.signal.reason as Error))
      wake = () => finish(resolve)
      limits.signal.addEventListener('abort', onAbort, { once: true })
      arm()
    })

  stream.addEventListener('message', onMessage)
  stream.addEventListener('remoteCloseWrite', onEnd)
  stream.addEventListener('close', onClose)
  try {
    if (stream.status !== 'open' && stream.status !== 'closing') onEnd()
    while (true) {
      limits.signal.throwIfAborted()
      const chunk = queue.shift()
      if (chunk !== undefined) {
        queuedBytes -= chunk.byteLength
        yield chunk
        continue
      }
      if (failure !== undefined) throw failure
      if (stream.readStatus === 'paused') {
        stream.resume()
        if (queue.length > 0) continue
      }
      if (ended && stream.readBufferLength === 0) return
      await next()
    }
  } finally {
    stream.removeEventListener('message', onMessage)
    stream.removeEventListener('remoteCloseWrite', onEnd)
    stream.removeEventListener('close', onClose)
  }
}

export interface WriteLimits {
  readonly signal: AbortSignal
  /** How long the other side may take to make room for more. */
  readonly drainTimeoutMs: number
}

/**
 * Sends everything from `source`, waiting whenever the stream's buffer is full.
 * @throws KmsError `stream-timeout` when the other side does not read, `stream-closed` when the stream ends; the signal's reason
 */
export async function writeChunks(stream: Stream, source: AsyncIterable<Chunk>, limits: WriteLimits): Promise<void> {
  for await (const chunk of source) {
    limits.signal.throwIfAborted()
    if (stream.status !== 'open') throw netError('stream-closed', 'the stream is not open for writing')
    if (!stream.send(chunk)) await drained(stream, limits)
  }
}

function drained(stream: Stream, limits: WriteLimits): Promise<void> {
  if (!stream.writableNeedsDrain) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void): void => {
      clearTimeout(timer)
      limits.signal.removeEventListener('abort', onAbort)
      stream.removeEventListener('drain', onDrain)
      stream.removeEventListener('close', onClose)
      settle()
    }
    const onDrain = (): void => {
      if (!stream.writableNeedsDrain) finish(resolve)
    }
    const onClose = (): void => finish(() => reject(netError('stream-closed', 'the stream closed before it drained')))
    const onAbort = (): void => finish(() => reject(limits.signal.reason as Error))
    const timer = setTimeout(
      () => finish(() => reject(netError('stream-timeout', 'the other side does not read'))),
      limits.drainTimeoutMs,
    )
    stream.addEventListener('drain', onDrain)
    stream.addEventListener('close', onClose)
    limits.signal.addEventListener('abort', onAbort, { once: true })
  })
}
