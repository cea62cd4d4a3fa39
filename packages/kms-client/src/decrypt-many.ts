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
  const source = iteratorOf(envelopes)
  const { promise: cancelled, resolve: cancel } = Promise.withResolvers<'cancelled'>()
  signal.addEventListener('abort', () => cancel('cancelled'), { once: true })
  let position = 0
  let reading: Promise<IteratorResult<T>> | undefined
  let exhausted = false
  try {
    while (!exhausted || running.size > 0) {
      throwIfCancelled(options.signal)
      if (!exhausted && running.size < options.concurrency) reading ??= Promise.resolve(source.next())
      const event = await Promise.race([cancelled, ...running.values(), ...(reading === undefined ? [] : [reading])])
      if (event === 'cancelled') continue
      if ('ok' in event) {
        running.delete(event.position)
        throwIfCancelled(options.signal)
        yield event
        continue
      }
      reading = undefined
      if (event.done === true) exhausted = true
      else running.set(position, settle(position, options.decrypt(event.value, signal)))
      if (event.done !== true) position += 1
    }
  } finally {
    leaving.abort()
    await Promise.allSettled(running.values())
    await leave(source, reading)
  }
}

/** A source that is asked for its next item may never give it: then nobody waits for its end. */
async function leave<T>(source: EnvelopeIterator<T>, reading: Promise<unknown> | undefined): Promise<void> {
  if (reading === undefined) await source.return?.()
  else void Promise.allSettled([reading, Promise.resolve(source.return?.())])
}

type EnvelopeIterator<T> = Iterator<T> | AsyncIterator<T>

const iteratorOf = <T>(items: Iterable<T> | AsyncIterable<T>): EnvelopeIterator<T> =>
  Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()

async function settle(position: number, work: Promise<Uint8Array>): Promise<DecryptOutcome> {
  try {
    return { ok: true, position, plaintext: await work }
  } catch (error) {
    if (!isKmsError(error)) throw error
    return { ok: false, position, error }
  }
}
