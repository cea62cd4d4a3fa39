import { Worker } from 'node:worker_threads'
import { fileURLToPath } from 'node:url'
import { KmsError } from '@tkms/dkg'
import type { ItemWork } from './item-work.ts'
import type { WorkerReady, WorkerReply } from './worker-messages.ts'

/** The bundle of `worker-main.ts`, from wherever this runs. */
const ENTRY = fileURLToPath(import.meta.resolve('@tkms/kms-node/compute-worker'))
/** Calls that one thread has at a time: while it answers one, the next is there. */
const CALLS_AHEAD = 2
/** Eight items on the portable backend take a tenth of a second. */
const CALL_TIMEOUT_MS = 10_000
const START_TIMEOUT_MS = 30_000
/** A lost thread is replaced after this long. */
const REPLACE_MS = 10_000
const HEAP_MIB = 64

/** What a lost thread was doing is not done. */
export class WorkerLost extends Error {
  override readonly name = 'WorkerLost'
}

/** Threads that compute; started when they are first wanted, and replaced when they are lost. */
export interface WorkerPool {
  /** Threads at most. */
  readonly size: number
  /** Whether a thread takes work now. Starts those that are missing. */
  isReady(): boolean
  /** Whether a thread has nothing to do. */
  isIdle(): boolean
  /**
   * In turn. @throws KmsError that the work failed with, WorkerLost when no thread finished it
   */
  run(work: ItemWork): Promise<Uint8Array>
  /** Ends the threads; resolves when they are gone. Work that is not done fails as `WorkerLost`. */
  stop(): Promise<void>
}

export interface WorkerPoolOptions {
  /** Threads, 1 or more. */
  readonly size: number
  /** A thread ended by itself, or was ended because it did not answer. */
  readonly onLost: (cause: unknown) => void
  /** The program of a thread; default: the bundle. */
  readonly entry?: string | URL
  /** A thread that needs longer for one piece of work is lost. */
  readonly callTimeoutMs?: number
  /** A thread that needs longer to start is lost. */
  readonly startTimeoutMs?: number
}

interface Call {
  readonly work: ItemWork
  readonly resolve: (done: Uint8Array) => void
  readonly reject: (cause: Error) => void
  timer?: NodeJS.Timeout
}

interface Thread {
  readonly worker: Worker
  ready: boolean
  /** Until it is ready. */
  starting?: NodeJS.Timeout
  readonly calls: Map<number, Call>
}

export function createWorkerPool(options: WorkerPoolOptions): WorkerPool {
  const { size, onLost, entry = ENTRY, callTimeoutMs = CALL_TIMEOUT_MS, startTimeoutMs = START_TIMEOUT_MS } = options
  const threads = new Set<Thread>()
  const waiting: Call[] = []
  let lastId = 0
  let lostAtMs = Number.NEGATIVE_INFINITY
  let stopped = false

  const lose = (thread: Thread, cause: unknown): void => {
    if (!threads.delete(thread)) return
    clearTimeout(thread.starting)
    lostAtMs = performance.now()
    void thread.worker.terminate()
    if (!stopped) onLost(cause)
    for (const call of thread.calls.values()) fail(call)
    if (!isAnyReady()) for (const call of waiting.splice(0)) fail(call)
    else sendWaiting()
  }

  const isAnyReady = (): boolean => [...threads].some(({ ready }) => ready)

  const fail = (call: Call): void => {
    clearTimeout(call.timer)
    call.reject(new WorkerLost('a compute thread was lost'))
  }

  const send = (thread: Thread, call: Call): void => {
    const id = ++lastId
    thread.calls.set(id, call)
    call.timer = setTimeout(() => lose(thread, new Error('a compute thread does not answer')), callTimeoutMs)
    thread.worker.postMessage({ id, work: call.work })
  }

  const leastBusy = (): Thread | undefined => {
    const free = [...threads].filter(({ ready, calls }) => ready && calls.size < CALLS_AHEAD)
    return free.toSorted((left, right) => left.calls.size - right.calls.size)[0]
  }

  const sendWaiting = (): void => {
    for (let thread = leastBusy(); thread !== undefined && waiting.length > 0; thread = leastBusy()) {
      const call = waiting.shift()
      if (call !== undefined) send(thread, call)
    }
  }

  const hear = (thread: Thread, message: WorkerReply | WorkerReady): void => {
    if ('ready' in message) {
      thread.ready = true
      clearTimeout(thread.starting)
    } else {
      const call = thread.calls.get(message.id)
      if (call === undefined) return
      thread.calls.delete(message.id)
      clearTimeout(call.timer)
      if ('done' in message) call.resolve(message.done)
      else call.reject(new KmsError(message.code, message.message))
    }
    sendWaiting()
  }

  const start = (): void => {
    // Nothing of this process's environment or command line, and no input of its own.
    const settings = {
      name: 'tkms-compute',
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB },
    }
    const worker = new Worker(entry, settings)
    const thread: Thread = { worker, ready: false, calls: new Map() }
    threads.add(thread)
    thread.starting = setTimeout(() => lose(thread, new Error('a compute thread does not start')), startTimeoutMs)
    worker.on('message', (message: WorkerReply | WorkerReady) => hear(thread, message))
    worker.once('error', (cause) => lose(thread, cause))
    worker.once('exit', (code) => lose(thread, new Error(`a compute thread ended with ${code}`)))
    worker.unref()
  }

  return {
    size,
    isReady() {
      if (!stopped && performance.now() - lostAtMs > REPLACE_MS) while (threads.size < size) start()
      return isAnyReady()
    },
    isIdle: () => [...threads].some(({ ready, calls }) => ready && calls.size === 0),
    run: (work) =>
      new Promise((resolve, reject) => {
        const call = { work, resolve, reject }
        const thread = leastBusy()
        if (thread !== undefined) send(thread, call)
        else if (isAnyReady()) waiting.push(call)
        else fail(call)
      }),
    async stop() {
      stopped = true
      const ended = [...threads].map(({ worker }) => worker.terminate())
      for (const thread of threads) lose(thread, undefined)
      await Promise.all(ended)
    },
  }
}
