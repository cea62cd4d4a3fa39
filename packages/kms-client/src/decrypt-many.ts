import type { KmsError } from '@tkms/dkg'
import { clientError, isKmsError, throwIfCancelled } from './errors.ts'

/** One envelope's outcome: a failed item does not fail the rest. */
export type DecryptOutcome =
  | { readonly ok: true; readonly position: number; readonly plaintext: Uint8Array }
  | { readonly ok: false; readonly position: number; readonly error: KmsError }

/**
 * Decrypts a stream of envelopes, at most `concurrency` at once, and yields outcomes as they come; `position` is the place in the input.
 * The input is read only as fast as outcomes are taken. Leaving the loop cancels what is under way.
 * @throws KmsError `bad-argument`, `cancelled`; what the input itself throws
 */
export async function* decryptMany<T>(
  envelopes: Iterable<T> | AsyncIterable<T>,
  options: {
    readonly concurrency: number
    readonly signal: AbortSignal | undefined
    readonly decrypt: (envelope: T, signal: AbortSignal) => Promise<Uint8Array>
  },
): AsyncGenerator<DecryptOutcome, void, undefined> {
  if (!Number.isInteger(options.concurrency) || options.concurrency < 1)
    throw clientError('bad-argument', 'concurrency is an integer of at least 1')
  const leaving = new AbortController()
  const signal = options.signal === undefined ? leaving.signal : AbortSignal.any([leaving.signal, options.signal])
  const running = new Map<number, Promise<DecryptOutcome>>()
  const source = iterate(envelopes)
  let position = 0
  let exhausted = false
  try {
    while (!exhausted || running.size > 0) {
      throwIfCancelled(options.signal)
      while (!exhausted && running.size < options.concurrency) {
        const next = await source.next()
        if (next.done === true) exhausted = true
        else {
          running.set(position, settle(position, options.decrypt(next.value, signal)))
          position += 1
        }
      }
      const outcome = running.size > 0 ? await Promise.race(running.values()) : undefined
      if (outcome === undefined) continue
      running.delete(outcome.position)
      throwIfCancelled(options.signal)
      yield outcome
    }
  } finally {
    leaving.abort()
    await Promise.allSettled(running.values())
    await source.return?.()
  }
}

async function* iterate<T>(items: Iterable<T> | AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  yield* items
}

async function settle(position: number, work: Promise<Uint8Array>): Promise<DecryptOutcome> {
  try {
    return { ok: true, position, plaintext: await work }
  } catch (error) {
    if (!isKmsError(error)) throw error
    return { ok: false, position, error }
  }
}
