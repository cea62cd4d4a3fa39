import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** What a link does to what crosses it. "Forward" is from the side that connected to the side it wanted. */
export interface LinkFaults {
  /** Every byte arrives this much later. */
  readonly delayMs: number
  /** Of each connection and direction. */
  readonly bytesPerSecond: number
  /** What is blocked waits, as packets do that are sent again and again, and arrives when the block ends. */
  readonly blocked: 'nothing' | 'forward' | 'backward' | 'everything'
}

export const NO_FAULTS: LinkFaults = { delayMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY, blocked: 'nothing' }

/** Waiting in one direction of one connection; the sender is held up beyond. */
const MAX_WAITING_BYTES = 1024 * 1024
const MAX_CONNECTIONS = 64

export interface Address {
  readonly host: string
  readonly port: number
}

/** A TCP proxy with a will of its own. It keeps no process alive. */
export interface TcpProxy {
  readonly port: number
  readonly faults: LinkFaults
  /** From now on; what is under way keeps its time of arrival, and waits while its direction is blocked. */
  set(change: Partial<LinkFaults>): void
  /** Resets every connection that is open. */
  cut(): void
  close(): Promise<void>
}

/** @param listen where; default: any free port on loopback */
export async function createTcpProxy(
  target: Address,
  listen: Address = { host: '127.0.0.1', port: 0 },
  first: Partial<LinkFaults> = {},
): Promise<TcpProxy> {
  let faults: LinkFaults = { ...NO_FAULTS, ...first }
  const flows = new Set<Flow>()
  const sockets = new Set<Socket>()
  const flow = (from: Socket, to: Socket, direction: 'forward' | 'backward'): void => {
    const created = createFlow(from, to, () => ({
      ...faults,
      blocked: faults.blocked === direction || faults.blocked === 'everything',
    }))
    flows.add(created)
    sockets.add(from)
    from.once('close', () => {
      sockets.delete(from)
      created.ended.then(
        () => flows.delete(created),
        () => flows.delete(created),
      )
    })
  }
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const wanted = connect({ ...target, allowHalfOpen: true, noDelay: true })
    flow(client, wanted, 'forward')
    flow(wanted, client, 'backward')
  })
  server.maxConnections = MAX_CONNECTIONS
  server.listen(listen.port, listen.host)
  await once(server, 'listening')
  server.unref()
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy()
    for (const each of flows) each.drop()
    flows.clear()
  }
  return {
    port: (server.address() as AddressInfo).port,
    get faults() {
      return faults
    },
    set: (change) => {
      faults = { ...faults, ...change }
      for (const each of flows) each.wake()
    },
    cut,
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      cut()
      await closed
    },
  }
}

interface Flow {
  /** Resolves when the end of the stream was passed on. */
  readonly ended: Promise<void>
  /** The faults have changed. */
  wake(): void
  drop(): void
}

/** One direction: bytes and the end of the stream, each passed on when its time has come. */
function createFlow(
  from: Socket,
  to: Socket,
  faults: () => Omit<LinkFaults, 'blocked'> & { readonly blocked: boolean },
): Flow {
  const waiting: { readonly dueMs: number; readonly bytes: number; readonly pass: () => boolean }[] = []
  let waitingBytes = 0
  let busyUntilMs = 0
  let timer: NodeJS.Timeout | undefined
  let draining = false
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()

  const add = (bytes: number, pass: () => boolean): void => {
    const { bytesPerSecond, delayMs } = faults()
    busyUntilMs = Math.max(performance.now(), busyUntilMs) + (1000 * bytes) / bytesPerSecond
    waiting.push({ dueMs: busyUntilMs + delayMs, bytes, pass })
    waitingBytes += bytes
    if (waitingBytes > MAX_WAITING_BYTES) from.pause()
    run()
  }
  const run = (): void => {
    clearTimeout(timer)
    while (!draining && !faults().blocked) {
      const [item] = waiting
      if (item === undefined) return
      const leftMs = item.dueMs - performance.now()
      if (leftMs > 0) {
        timer = setTimeout(run, Math.ceil(leftMs)).unref()
        return
      }
      waiting.shift()
      waitingBytes -= item.bytes
      draining = !item.pass()
      if (waitingBytes <= MAX_WAITING_BYTES) from.resume()
    }
  }
  to.on('drain', () => {
    draining = false
    run()
  })
  from.on('data', (chunk: Buffer) => add(chunk.length, () => to.destroyed || to.write(chunk)))
  from.on('end', () => add(0, () => to.end() !== undefined))
  // A reset is an end that nobody waits for; 'close' follows.
  from.on('error', () => {})
  from.on('close', () => {
    add(0, () => {
      to.destroy()
      end()
      return true
    })
  })
  return {
    ended,
    wake: run,
    drop: () => {
      clearTimeout(timer)
      waiting.length = 0
      end()
    },
  }
}
