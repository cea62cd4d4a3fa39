import type { KmsError, ParticipantIndex } from '@tkms/dkg'
import { clientError, isKmsError, throwIfCancelled } from './errors.ts'
import type { RefusedItem } from './item-result.ts'

/** One envelope's outcome: a failed item does not fail the rest. */
export type DecryptOutcome =
  | { readonly ok: true; readonly position: number; readonly plaintext: Uint8Array }
  | { readonly ok: false; readonly position: number; readonly error: KmsError }

/** Items of one request, at most: the work for all of them beside their multiplications is then below a fiftieth. */
const MAX_BATCH = 64

/** What is done with envelopes, one by one and together. Whatever of it throws a KmsError fails its items, anything else is a bug and ends all. */
export interface ManyPorts<T, P> {
  /** Reads and checks one envelope. */
  readonly prepare: (envelope: T, signal: AbortSignal) => Promise<P>
  /** Envelopes of one group can be asked for in one request. */
  readonly groupOf: (prepared: P) => string
  /**
   * One result per item, in their order.
   * @param without nodes that are asked only where there are too few others: they refused these items
   */
  readonly decryptTogether: (
    prepared: readonly P[],
    signal: AbortSignal,
    without: ReadonlySet<ParticipantIndex>,
  ) => Promise<readonly (Uint8Array | KmsError | RefusedItem)[]>
  readonly decryptAlone: (prepared: P, signal: AbortSignal) => Promise<Uint8Array>
}

interface Waiting<P> {
  readonly position: number
  readonly prepared: P
}

/** What a piece of work has come to. */
interface Done<P> {
  readonly outcomes?: readonly DecryptOutcome[]
  readonly prepared?: Waiting<P>
  /** To be asked once more, since other nodes may allow them. */
  readonly refused?: readonly Waiting<P>[]
  /** Who refused them, where they may be asked together once more: without these, whose word is not the others'. */
  readonly without?: ReadonlySet<ParticipantIndex>
}

const NOBODY: ReadonlySet<ParticipantIndex> = new Set()

/** What the loop waits for. An `error` is no item's own: it ends everything. */
type Happening<T, P> =
  | { readonly kind: 'read'; readonly result: IteratorResult<T> }
  | { readonly kind: 'done'; readonly done: Done<P> }
  | { readonly kind: 'failed'; readonly error: unknown }

/**
 * Decrypts a stream of envelopes, at most `concurrency` at once, and yields outcomes as they come; `position` is the place in the input.
 * Envelopes that are there at the same time share requests, at least two of which are under way where there is enough to ask.
 * The input is read only as fast as outcomes are taken. Leaving the loop cancels what is under way.
 * @throws KmsError `bad-argument`, `cancelled`; what the input itself throws
 */
export async function* decryptMany<T, P>(
  envelopes: Iterable<T> | AsyncIterable<T>,
  options: ManyPorts<T, P> & { readonly concurrency: number; readonly signal: AbortSignal | undefined },
): AsyncGenerator<DecryptOutcome, void, undefined> {
  const { concurrency } = options
  if (!Number.isInteger(concurrency) || concurrency < 1)
    throw clientError('bad-argument', 'concurrency is an integer of at least 1')
  const batchSize = Math.min(MAX_BATCH, Math.ceil(concurrency / 2))
  const leaving = new AbortController()
  const signal = options.signal === undefined ? leaving.signal : AbortSignal.any([leaving.signal, options.signal])
  const running = new Set<Promise<void>>()
  const events = createEvents<Happening<T, P>>(signal)
  const groups = new Map<string, Waiting<P>[]>()
  const source = iteratorOf(envelopes)
  let position = 0
  let underWay = 0
  let reading: Promise<void> | undefined
  let exhausted = false

  function run(work: Promise<Done<P>>): void {
    const watched = work.then(
      (done) => events.push({ kind: 'done', done }),
      (error: unknown) => events.push({ kind: 'failed', error }),
    )
    running.add(watched)
    void watched.then(() => running.delete(watched))
  }

  function enqueue(waiting: Waiting<P>): void {
    const name = options.groupOf(waiting.prepared)
    const group = groups.get(name) ?? []
    groups.set(name, group)
    group.push(waiting)
    if (group.length === batchSize) launch(name, group)
  }

  function launch(name: string, group: readonly Waiting<P>[]): void {
    groups.delete(name)
    const [only] = group
    if (only !== undefined && group.length === 1) run(alone(only, options, signal))
    else run(together(group, { ports: options, signal, without: NOBODY }))
  }

  try {
    while (!exhausted || underWay > 0) {
      throwIfCancelled(options.signal)
      if (!exhausted && underWay < concurrency) reading ??= read(source, events)
      const event = await events.next(groups.size > 0)
      if (event === undefined) {
        if (!signal.aborted) for (const [name, group] of groups) launch(name, group)
      } else if (event.kind === 'failed') throw event.error
      else if (event.kind === 'read') {
        reading = undefined
        if (event.result.done === true) exhausted = true
        else {
          underWay += 1
          run(prepare(event.result.value, position, options, signal))
          position += 1
        }
      } else {
        const { prepared, refused = [], without, outcomes = [] } = event.done
        if (prepared !== undefined) enqueue(prepared)
        if (without !== undefined) run(together(refused, { ports: options, signal, without }))
        else for (const waiting of refused) run(alone(waiting, options, signal))
        for (const outcome of outcomes) {
          throwIfCancelled(options.signal)
          underWay -= 1
          yield outcome
        }
      }
    }
  } finally {
    leaving.abort()
    await Promise.allSettled(running)
    await leave(source, reading)
  }
}

/** Keeps what happened until it is looked at, and no longer: a race of promises would keep all of it as long as one of them is open. */
interface Events<E> {
  push(event: E): void
  /**
   * The next event.
   * @param idle whether to come back without one as soon as everything that is there has been seen: then nobody waits longer for company
   * @returns undefined then, and when the signal fires
   */
  next(idle: boolean): Promise<E | undefined>
}

function createEvents<E>(signal: AbortSignal): Events<E> {
  const waiting: E[] = []
  let wake: () => void = () => undefined
  signal.addEventListener('abort', () => wake(), { once: true })
  return {
    push(event) {
      waiting.push(event)
      wake()
    },
    async next(idle) {
      if (waiting.length === 0 && !signal.aborted) {
        const { promise, resolve } = Promise.withResolvers<void>()
        wake = resolve
        const timer = idle ? setTimeout(resolve, 0) : undefined
        await promise
        clearTimeout(timer)
      }
      return waiting.shift()
    },
  }
}

async function read<T, P>(source: EnvelopeIterator<T>, events: Events<Happening<T, P>>): Promise<void> {
  try {
    events.push({ kind: 'read', result: await source.next() })
  } catch (error) {
    events.push({ kind: 'failed', error })
  }
}

async function prepare<T, P>(
  envelope: T,
  position: number,
  ports: ManyPorts<T, P>,
  signal: AbortSignal,
): Promise<Done<P>> {
  try {
    return { prepared: { position, prepared: await ports.prepare(envelope, signal) } }
  } catch (error) {
    return { outcomes: [failure(position, error)] }
  }
}

async function alone<T, P>(
  { position, prepared }: Waiting<P>,
  ports: ManyPorts<T, P>,
  signal: AbortSignal,
): Promise<Done<P>> {
  try {
    return { outcomes: [{ ok: true, position, plaintext: await ports.decryptAlone(prepared, signal) }] }
  } catch (error) {
    return { outcomes: [failure(position, error)] }
  }
}

async function together<T, P>(
  group: readonly Waiting<P>[],
  {
    ports,
    signal,
    without,
  }: {
    readonly ports: ManyPorts<T, P>
    readonly signal: AbortSignal
    readonly without: ReadonlySet<ParticipantIndex>
  },
): Promise<Done<P>> {
  try {
    const prepared = group.map((waiting) => waiting.prepared)
    const results = await ports.decryptTogether(prepared, signal, without)
    const outcomes: DecryptOutcome[] = []
    const refused: Waiting<P>[] = []
    const refusers = new Set<ParticipantIndex>()
    for (const [at, waiting] of group.entries()) {
      const { position } = waiting
      const result = results[at]
      if (result instanceof Uint8Array) outcomes.push({ ok: true, position, plaintext: result })
      else if (result === undefined || isKmsError(result)) outcomes.push(failure(position, result))
      else {
        refused.push(waiting)
        for (const index of result.refusedBy) refusers.add(index)
      }
    }
    return { outcomes, refused, ...(without === NOBODY && refused.length > 1 && { without: refusers }) }
  } catch (error) {
    return { outcomes: group.map(({ position }) => failure(position, error)) }
  }
}

function failure(position: number, error: unknown): DecryptOutcome {
  if (!isKmsError(error)) throw error
  return { ok: false, position, error }
}

/** A source that is asked for its next item may never give it: then nobody waits for its end. */
async function leave<T>(source: EnvelopeIterator<T>, reading: Promise<unknown> | undefined): Promise<void> {
  if (reading === undefined) await source.return?.()
  else void Promise.allSettled([reading, Promise.resolve(source.return?.())])
}

type EnvelopeIterator<T> = Iterator<T> | AsyncIterator<T>

const iteratorOf = <T>(items: Iterable<T> | AsyncIterable<T>): EnvelopeIterator<T> =>
  Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
