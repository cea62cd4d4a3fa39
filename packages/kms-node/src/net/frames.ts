import type { Stream } from '@libp2p/interface'
import type { KmsError } from '@tkms/dkg'
import { decode } from 'it-length-prefixed'
import type { Uint8ArrayList } from 'uint8arraylist'
import { netError } from './errors.ts'
import { readChunks } from './stream-io.ts'

/** A length prefix is an unsigned varint of a 32-bit number. */
const MAX_PREFIX_BYTES = 5
const MAX_LENGTH = 2 ** 32 - 1

export interface FrameLimits {
  readonly signal: AbortSignal
  /** Longer frames end the stream, before any of their bytes are kept. Asked at every frame. */
  readonly maxFrameBytes: () => number
  /** A frame whose length has been announced must be complete within this time, however slowly it trickles. */
  readonly frameTimeoutMs: (bytes: number) => number
  /** How much longer the stream may stay silent between two frames; asked again when that has passed. */
  readonly idleRemainingMs: () => number
}

/**
 * The length-prefixed frames of a stream. Memory is bounded by `maxFrameBytes` plus one receive window.
 * @throws KmsError `stream-timeout`, `stream-closed`, `bad-frame` for lengths above the cap; the signal's reason
 */
export async function* readFrames(stream: Stream, limits: FrameLimits): AsyncGenerator<Uint8Array> {
  let frameDeadlineMs: number | undefined
  const chunks = readChunks(stream, {
    signal: limits.signal,
    highWaterBytes: limits.maxFrameBytes(),
    remainingMs: () => (frameDeadlineMs === undefined ? limits.idleRemainingMs() : frameDeadlineMs - performance.now()),
  })
  const frames: AsyncIterable<Uint8ArrayList> = decode(chunks, {
    maxDataLength: MAX_LENGTH,
    maxLengthLength: MAX_PREFIX_BYTES,
    onLength: (length) => {
      if (length > limits.maxFrameBytes()) throw tooLong()
      frameDeadlineMs = performance.now() + limits.frameTimeoutMs(length)
    },
    onData: () => {
      frameDeadlineMs = undefined
    },
  })
  try {
    for await (const frame of frames) yield frame.slice()
  } catch (cause) {
    throw classify(cause)
  }
}

/** What `it-length-prefixed` says, in our words; everything else as it is. */
function classify(cause: unknown): unknown {
  if (!(cause instanceof Error)) return cause
  if (cause.name === 'UnexpectedEOFError')
    return netError('stream-closed', 'the stream ended inside a frame', { cause })
  return cause.name.startsWith('Invalid') ? tooLong(cause) : cause
}

const tooLong = (cause?: unknown): KmsError => netError('bad-frame', 'a frame announces more than its cap', { cause })
