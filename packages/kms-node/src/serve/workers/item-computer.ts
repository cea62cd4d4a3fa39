import {
  createPartial,
  type Curve,
  type PartialDecryption,
  type PointBytes,
  type ProvenHeader,
  verifyHeaderProof,
} from '@tkms/dkg'
import { eachItem } from '../each-item.ts'
import type { Loan, ServedKey } from '../key-table.ts'
import {
  type ItemWork,
  packHeaders,
  packPartials,
  type PointsAndAux,
  unpackHeaders,
  unpackPartials,
} from './item-work.ts'
import { WorkerLost, type WorkerPool } from './worker-pool.ts'

/** Items that one thread gets at once. */
const ITEMS_PER_CALL = 8
/** Calls of a request that is alone for each thread, so that it finds the next one when it ends one. Of each of several: one, so that they take turns. */
const CALLS_AHEAD = 2
/** Fewer items of a request that is alone are done here: to send them takes as long. */
const MIN_ITEMS_TO_SEND = 4

/** What the partials of one request are made with. */
export interface PartialInput extends PointsAndAux {
  readonly served: ServedKey
  readonly loan: Loan
  readonly ctx: Uint8Array
}

/** The multiplications of the serving path. Nothing here decides anything. */
export interface ItemComputer {
  /** Whether each header proof holds. @throws Cancelled */
  headerProofs(headers: readonly ProvenHeader[], signal: AbortSignal): Promise<readonly boolean[]>
  /**
   * D = share * K of each point, with proofs, in their order.
   * @throws Cancelled, KmsError `self-check-failed` when the machine computes wrongly or the share is no longer the certified one
   */
  partials(input: PartialInput, signal: AbortSignal): Promise<readonly PartialDecryption[]>
}

/** All on this thread, in turns with other work. */
export function createLocalComputer(curve: Curve): ItemComputer {
  return {
    headerProofs: (headers, signal) => eachItem(headers, signal, (header) => verifyHeaderProof(curve, header)),
    partials: ({ points, aux, served: { verificationShare }, loan, ctx }, signal) =>
      eachItem(points, signal, (K, at) =>
        loan.use((share) =>
          createPartial(curve, { share, verificationShare, K, ctx, aux: aux[at] ?? new Uint8Array(0) }),
        ),
      ),
  }
}

/** With threads where there are any. */
export const createItemComputer = (options: {
  readonly curve: Curve
  readonly pool: WorkerPool | undefined
  /** Requests that are under way. */
  readonly underWay: () => number
}): ItemComputer => {
  const { curve, pool, underWay } = options
  return pool === undefined ? createLocalComputer(curve) : createThreadedComputer({ curve, pool, underWay })
}

/** Whether the threads can read the share where it lies. To send a copy would leave bytes that nobody wipes. */
const isInCommon = (loan: Loan): boolean =>
  loan.use((share) => share.use(({ buffer }) => buffer instanceof SharedArrayBuffer))

/**
 * On the threads of a pool where that pays: for more than a few items, or while other requests wait and a thread has nothing to do. A thread that is lost costs time
 * only: its work is done here.
 */
export function createThreadedComputer(options: {
  readonly curve: Curve
  readonly pool: WorkerPool
  /** Requests that are under way. */
  readonly underWay: () => number
}): ItemComputer {
  const { curve, pool, underWay } = options
  const local = createLocalComputer(curve)
  const pays = (items: number): boolean => {
    if (items >= MIN_ITEMS_TO_SEND) return pool.isReady()
    return (underWay() > 1 || curve.backend === 'noble') && pool.isReady() && pool.isIdle()
  }

  /** In chunks, a few of them at once. */
  const inChunks = async <T, R>(
    items: readonly T[],
    signal: AbortSignal,
    run: (chunk: readonly T[]) => Promise<readonly R[]>,
  ): Promise<readonly R[]> => {
    const chunks = Array.from({ length: Math.ceil(items.length / ITEMS_PER_CALL) }, (_, at) =>
      items.slice(at * ITEMS_PER_CALL, (at + 1) * ITEMS_PER_CALL),
    )
    const calls: Promise<readonly R[]>[] = []
    const begin = (chunk: readonly T[]): Promise<readonly R[]> => {
      const call = run(chunk)
      calls.push(call)
      return call
    }
    try {
      const done = await eachItem(chunks, signal, begin, pool.size * (underWay() > 1 ? 1 : CALLS_AHEAD))
      return done.flat()
    } finally {
      // Where one failed or the caller left: the share is on loan until no thread reads it any more.
      await Promise.allSettled(calls)
    }
  }

  const orHere = async <R>(
    work: () => ItemWork,
    unpack: (done: Uint8Array) => R,
    here: () => Promise<R>,
  ): Promise<R> => {
    try {
      return unpack(await pool.run(work()))
    } catch (cause) {
      if (cause instanceof WorkerLost) return here()
      throw cause
    }
  }

  return {
    headerProofs: (headers, signal) =>
      pays(headers.length)
        ? inChunks(headers, signal, (chunk) =>
            orHere(
              () => packHeaders(curve, chunk),
              unpackHeaders,
              () => local.headerProofs(chunk, signal),
            ),
          )
        : local.headerProofs(headers, signal),
    partials(input, signal) {
      const { points, aux, served, loan, ctx } = input
      const { verificationShare } = served
      if (!pays(points.length) || !isInCommon(loan)) return local.partials(input, signal)
      const pairs = points.map((K, at): [PointBytes, Uint8Array] => [K, aux[at] ?? new Uint8Array(0)])
      return inChunks(pairs, signal, (chunk) => {
        const part = { points: chunk.map(([K]) => K), aux: chunk.map(([, random]) => random) }
        return orHere(
          () => loan.use((share) => share.use((bytes) => packPartials(part, { share: bytes, verificationShare, ctx }))),
          unpackPartials,
          () => local.partials({ ...input, ...part }, signal),
        )
      })
    },
  }
}
