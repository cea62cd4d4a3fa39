import { clientError } from './errors.ts'

/**
 * The value of work that knows no signal, for example of a wallet that waits for its owner. It goes on alone once cancelled.
 * @throws KmsError `cancelled` when the signal fires first
 */
export function cancellable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = (): void =>
      reject(clientError('cancelled', 'the caller cancelled', { cause: signal.reason as unknown }))
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', cancel))
    if (signal.aborted) return cancel()
    signal.addEventListener('abort', cancel, { once: true })
  })
}
