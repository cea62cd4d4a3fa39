/** What becomes of work that others wait for as well; undefined where there is none, or `signal` is aborted first. */
export async function outcomeUntil<T>(
  work: Promise<T | undefined> | undefined,
  signal: AbortSignal,
): Promise<T | undefined> {
  if (work === undefined || signal.aborted) return undefined
  const { promise: ended, resolve } = Promise.withResolvers<undefined>()
  const onAbort = (): void => resolve(undefined)
  signal.addEventListener('abort', onAbort, { once: true })
  return Promise.race([work, ended]).finally(() => signal.removeEventListener('abort', onAbort))
}
