import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock } from '../ports.ts'
import { callerOf, createRateLimit } from './rate-limit.ts'

const MAX_CALLERS = 65_536

export interface ConnectionLimits {
  /** Open connections of one caller. */
  readonly maxHttpConnectionsPerAddress: number
  /** New ones of one caller; as many as it may have open may come at once. */
  readonly newHttpConnectionsPerSecond: number
}

/** Closes what a caller opens beyond its part, before any handshake: no caller takes the place or the time of all others. */
export function limitConnections(server: Server, limits: ConnectionLimits, clock: Clock): void {
  const open = new Map<string, number>()
  const rate = createRateLimit({
    requestsPerSecond: limits.newHttpConnectionsPerSecond,
    burst: limits.maxHttpConnectionsPerAddress,
    maxCallers: MAX_CALLERS,
  })
  server.on('connection', (socket: Socket) => {
    const caller = callerOf(socket.remoteAddress ?? '')
    const count = open.get(caller) ?? 0
    if (count >= limits.maxHttpConnectionsPerAddress || rate.retryAfterSeconds(caller, clock.monotonicMs()) > 0) {
      socket.destroy()
      return
    }
    open.set(caller, count + 1)
    socket.once('close', () => {
      const left = (open.get(caller) ?? 1) - 1
      if (left > 0) open.set(caller, left)
      else open.delete(caller)
    })
  })
}
