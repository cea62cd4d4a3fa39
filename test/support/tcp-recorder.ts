import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A TCP proxy on loopback that keeps every byte of both directions. */
export interface TcpRecorder {
  readonly port: number
  /** Everything that crossed it, in the order it came. */
  recorded(): Buffer
  /** Ends its connections and stops listening. */
  close(): Promise<void>
}

export async function recordTcp(targetPort: number): Promise<TcpRecorder> {
  const chunks: Buffer[] = []
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const target = connect(targetPort, '127.0.0.1')
    const ends = [client, target] as const
    for (const [from, to] of [ends, [target, client] as const]) {
      sockets.add(from)
      from.on('data', (chunk: Buffer) => chunks.push(chunk))
      from.pipe(to)
      // Either end may be killed: the other one learns it by its own end.
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    recorded: () => Buffer.concat(chunks),
    close: async () => {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}
