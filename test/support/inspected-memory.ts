/** Put before a node's command: its inspector listens on a free port of loopback and says where. */
export const INSPECTED: readonly string[] = ['env', 'NODE_OPTIONS=--inspect=127.0.0.1:0']

/** What a process still holds after its garbage has been collected. */
export interface HeldMemory {
  /** Objects of the JavaScript heap, and the buffers outside it that they hold, in bytes. */
  readonly heldBytes: number
  readonly residentBytes: number
  /** Sockets, timers and the like that keep the event loop alive, by kind. */
  readonly resources: Readonly<Record<string, number>>
}

const ANSWER_TIMEOUT_MS = 30_000
const MEASURE = `(() => {
  const { heapUsed, external, rss } = process.memoryUsage()
  const resources = {}
  for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1
  return { heldBytes: heapUsed + external, residentBytes: rss, resources }
})()`

/**
 * Asks a process that was started with `INSPECTED` to collect its garbage, twice (finalizers of the first round free buffers), and
 * measures it. What V8 has not yet collected says nothing of a leak: it grows and shrinks by tens of MiB with the allocation rate.
 *
 * @param log - all that the process has printed; its own inspector's line comes before those of its children
 * @throws Error when the process does not answer within 30 s
 */
export async function heldMemory(log: string): Promise<HeldMemory> {
  const [, address] = /^Debugger listening on (ws:\S+)$/m.exec(log) ?? []
  if (address === undefined) throw new Error('the process was not started with its inspector')
  const socket = new WebSocket(address)
  try {
    await opened(socket)
    await call(socket, 1, 'HeapProfiler.collectGarbage')
    await call(socket, 2, 'HeapProfiler.collectGarbage')
    const { result } = (await call(socket, 3, 'Runtime.evaluate', { expression: MEASURE, returnByValue: true })) as {
      readonly result: { readonly value?: HeldMemory; readonly description?: string }
    }
    if (result.value === undefined) throw new Error(`the process could not be measured: ${result.description}`)
    return result.value
  } finally {
    socket.close()
  }
}

async function opened(socket: WebSocket): Promise<void> {
  await within('open', (resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true })
    socket.addEventListener('error', reject, { once: true })
  })
}

/** One call of the DevTools protocol. @returns its result */
async function call(socket: WebSocket, id: number, method: string, params: object = {}): Promise<unknown> {
  const answer = within(method, (resolve) => {
    const hear = ({ data }: MessageEvent): void => {
      const message = JSON.parse(String(data)) as { readonly id?: number; readonly result?: unknown }
      if (message.id !== id) return
      socket.removeEventListener('message', hear)
      resolve(message.result)
    }
    socket.addEventListener('message', hear)
  })
  socket.send(JSON.stringify({ id, method, params }))
  return answer
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
