// A process of its own with TCP proxies before some servers: what they send can be made late. Argument: the ports on loopback, as JSON.
import { connect, createServer, type Socket } from 'node:net'
import { once } from 'node:events'

/** What the parent asks: every byte from this server arrives so much later from now on. */
export interface DelayOrder {
  readonly target: number
  readonly delayMs: number
}

const delays = new Map<number, number>()

/** Passes bytes on in their order, each when its time has come. */
function passLate(from: Socket, to: Socket, delayMs: () => number): void {
  let lastMs = 0
  const later = (pass: () => void): void => {
    const nowMs = performance.now()
    const dueMs = Math.max(lastMs, nowMs + delayMs())
    lastMs = dueMs
    if (dueMs <= nowMs) pass()
    else setTimeout(pass, Math.ceil(dueMs - nowMs))
  }
  from.on('data', (chunk: Buffer) => later(() => void (to.destroyed || to.write(chunk))))
  // A reset is an end that nobody waits for; 'close' follows.
  from.on('error', () => {})
  from.on('close', () => later(() => void to.destroy()))
}

async function listen(target: number): Promise<readonly [target: number, port: number]> {
  const server = createServer({ noDelay: true }, (client) => {
    const node = connect({ host: '127.0.0.1', port: target, noDelay: true })
    passLate(client, node, () => 0)
    passLate(node, client, () => delays.get(target) ?? 0)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  return [target, address.port]
}

process.on('message', ({ target, delayMs }: DelayOrder) => void delays.set(target, delayMs))
process.on('disconnect', () => process.exit(0))
const targets = JSON.parse(process.argv[2] ?? '[]') as readonly number[]
process.send?.(await Promise.all(targets.map(listen)))
