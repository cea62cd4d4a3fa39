import type { Stream } from '@libp2p/interface'
import { decode } from 'it-length-prefixed'
import type { Uint8ArrayList } from 'uint8arraylist'
import { readChunks } from './stream-io.ts'

/** A length prefix is an unsigned varint of a 32-bit number. */
const MAX_PREFIX_BYTES = 5

export interface FrameLimits {
  readonly signal: AbortSignal
  /** Longer frames end the stream, before any of their bytes are kept. */
  readonly maxFrameBytes: number
  /** A frame whose length has been announced must be complete within this time, however slowly it trickles. */
  readonly frameTimeoutMs: number
  /** How much longer the stream may stay silent between two frames; asked again when that has passed. */
  readonly idleRemainingMs: () => number
}

/**
 * The length-prefixed frames of a stream. Memory is bounded by `maxFrameBytes` plus one receive window.
 * @throws KmsError `stream-timeout`, `stream-closed`; errors of `it-length-prefixed` for lengths above the cap
 */
export async function* readFrames(stream: Stream, limits: FrameLimits): AsyncGenerator<Uint8Array> {
  let frameDeadlineMs: number | undefined
  const chunks = readChunks(stream, {
    signal: limits.signal,
    highWaterBytes: limits.maxFrameBytes,
    remainingMs: () =>
      frameDeadlineMs === undefined ? limits.idleRemainingMs() : frameDeadlineMs - performance.now(),
  })
  const frames: AsyncIterable<Uint8ArrayList> = decode(chunks, {
    maxDataLength: limits.maxFrameBytes,
    maxLengthLength: MAX_PREFIX_BYTES,
    onLength: () => {
      frameDeadlineMs = performance.now() + limits.frameTimeoutMs
    },
    onData: () => {
      frameDeadlineMs = undefined
    },
  })
  for await (const frame of frames) yield frame.slice()
}
