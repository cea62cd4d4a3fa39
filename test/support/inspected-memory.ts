/** Put before a node's command: its inspector listens on a free port of loopback and says where. */
export const INSPECTED: readonly string[] = ['env', 'NODE_OPTIONS=--inspect=127.0.0.1:0']

/** What a process still holds after its garbage has been collected. */
export interface HeldMemory {
  /** Objects of the JavaScript heap, and the buffers outside it that they hold, in bytes. */
  readonly heldBytes: number
  /** Of these, compiled code and what belongs to it: V8 compiles what is called often for many minutes, then no more. */
  readonly compiledBytes: number
  /** Of these, objects younger than the collection: those of the measurement itself. */
  readonly newBytes: number
  readonly residentBytes: number
  /** Sockets, timers and the like that keep the event loop alive, by kind. */
  readonly resources: Readonly<Record<string, number>>
}

/** Objects of a process that listen or are listened to, its garbage collected. */
export interface LiveObjects {
  /** EventTargets by the name of their class: streams of libp2p, abort signals, messages. */
  readonly targets: Readonly<Record<string, number>>
  /** EventEmitters by the name of their class: sockets, servers, streams of Node. */
  readonly emitters: Readonly<Record<string, number>>
  /** Registered on all of them together. */
  readonly listeners: number
}

/** A process that was started with `INSPECTED`, over one connection to its inspector. Every method throws an Error when it does not answer within 30 s. */
export interface Inspector {
  /**
   * Collects the garbage, twice (finalizers of the first round free buffers), and measures what is left. What V8 has not yet collected
   * says nothing of a leak: it grows and shrinks by tens of MiB with the allocation rate.
   */
  held(): Promise<HeldMemory>
  live(): Promise<LiveObjects>
  /** Lets V8 find out where the lines of all scripts end, which it otherwise does, and keeps, when it first needs them for a stack trace. */
  indexScripts(): Promise<void>
  /** Runs a script in the process. @returns its value, copied @throws Error when it throws */
  evaluate(script: string): Promise<unknown>
  close(): void
}

const ANSWER_TIMEOUT_MS = 30_000
const MEASURE = `(() => {
  const { heapUsed, external, rss } = process.memoryUsage()
  const spaces = process.getBuiltinModule('node:v8').getHeapSpaceStatistics()
  const usedBy = (...names) =>
    spaces.reduce((bytes, space) => bytes + (names.includes(space.space_name) ? space.space_used_size : 0), 0)
  const resources = {}
  for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1
  return {
    heldBytes: heapUsed + external,
    compiledBytes: usedBy('code_space', 'code_large_object_space', 'trusted_space', 'trusted_large_object_space'),
    newBytes: usedBy('new_space', 'new_large_object_space'),
    residentBytes: rss,
    resources,
  }
})()`

const TARGETS = 'EventTarget.prototype'
const EMITTERS = "process.getBuiltinModule('node:events').EventEmitter.prototype"
/** Node keeps the listeners of an EventTarget in a map of its own; prototypes are found with the objects and have none. */
const COUNT = `function () {
  const names = {}
  let listeners = 0
  const own = (object, key) => (key === undefined ? undefined : Object.getOwnPropertyDescriptor(object, key)?.value)
  for (const object of this) {
    const name = own(Object.getPrototypeOf(object), 'constructor')?.name ?? '?'
    names[name] = (names[name] ?? 0) + 1
    const symbol = Object.getOwnPropertySymbols(object).find(({ description }) => description === 'kEvents')
    for (const { size } of own(object, symbol)?.values() ?? []) listeners += size
    for (const one of Object.values(own(object, '_events') ?? {}))
      listeners += Array.isArray(one) ? one.length : one === undefined ? 0 : 1
  }
  return { names, listeners }
}`

/** @param log - all that the process has printed; its own inspector's line comes before those of its children */
export async function inspect(log: string): Promise<Inspector> {
  const [, address] = /^Debugger listening on (ws:\S+)$/m.exec(log) ?? []
  if (address === undefined) throw new Error('the process was not started with its inspector')
  const socket = new WebSocket(address)
  await opened(socket)
  let last = 0
  const ask = <T>(method: string, params: object = {}): Promise<T> => call(socket, ++last, method, params) as Promise<T>

  const evaluate = async (script: string): Promise<unknown> => {
    const { result, exceptionDetails } = await ask<Evaluated>('Runtime.evaluate', {
      expression: script,
      returnByValue: true,
      awaitPromise: true,
    })
    if (exceptionDetails !== undefined) throw new Error(`the script threw ${result.description}`)
    return result.value
  }

  const count = async (prototype: string): Promise<Counted> => {
    const group = { objectGroup: 'counted' }
    const { result } = await ask<Evaluated>('Runtime.evaluate', { expression: prototype, ...group })
    const { objects } = await ask<{ readonly objects: { readonly objectId: string } }>('Runtime.queryObjects', {
      prototypeObjectId: result.objectId,
      ...group,
    })
    const { objectId } = objects
    const request = { objectId, functionDeclaration: COUNT, returnByValue: true }
    const counted = await ask<Evaluated>('Runtime.callFunctionOn', request)
    await ask('Runtime.releaseObjectGroup', group)
    if (counted.exceptionDetails !== undefined) throw new Error(`the count threw ${counted.result.description}`)
    return counted.result.value as Counted
  }

  return {
    async held() {
      await ask('HeapProfiler.collectGarbage')
      await ask('HeapProfiler.collectGarbage')
      return (await evaluate(MEASURE)) as HeldMemory
    },
    async live() {
      const targets = await count(TARGETS)
      const emitters = await count(EMITTERS)
      return {
        targets: targets.names,
        emitters: emitters.names,
        listeners: targets.listeners + emitters.listeners,
      }
    },
    async indexScripts() {
      await ask('Debugger.enable')
      await ask('Debugger.disable')
    },
    evaluate,
    close: () => socket.close(),
  }
}

/** One measurement of a process. @param log - see `inspect` */
export async function heldMemory(log: string): Promise<HeldMemory> {
  const inspector = await inspect(log)
  try {
    return await inspector.held()
  } finally {
    inspector.close()
  }
}

interface Evaluated {
  readonly result: { readonly value?: unknown; readonly description?: string; readonly objectId?: string }
  readonly exceptionDetails?: object
}

interface Counted {
  readonly names: Readonly<Record<string, number>>
  readonly listeners: number
}

async function opened(socket: WebSocket): Promise<void> {
  await within('open', (resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true })
    socket.addEventListener('error', reject, { once: true })
  })
}

/** One call of the DevTools protocol. @returns its result */
async function call(socket: WebSocket, id: number, method: string, params: object): Promise<unknown> {
  const answer = within(method, (resolve, reject) => {
    const hear = ({ data }: MessageEvent): void => {
      const message = JSON.parse(String(data)) as Reply
      if (message.id !== id) return
      socket.removeEventListener('message', hear)
      if (message.error === undefined) resolve(message.result)
      else reject(new Error(`the inspector refuses ${method}: ${message.error.message}`))
    }
    socket.addEventListener('message', hear)
  })
  socket.send(JSON.stringify({ id, method, params }))
  return answer
}

interface Reply {
  readonly id?: number
  readonly result?: unknown
  readonly error?: { readonly message: string }
}

function within(
  what: string,
  start: (resolve: (value: unknown) => void, reject: (reason: unknown) => void) => void,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the inspector does not answer: ${what}`)), ANSWER_TIMEOUT_MS)
    start(
      (value) => {
        clearTimeout(timer)
        resolve(value)
      },
      (reason) => {
        clearTimeout(timer)
        reject(reason instanceof Error ? reason : new Error(`the inspector cannot be reached: ${what}`))
      },
    )
  })
}
