import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as passed } from 'node:timers/promises'
import { noise } from '@chainsafe/libp2p-noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { DELEGATE_PROTOCOL } from '@tkms/kms-client/node'
import { createLibp2p, type Libp2p } from 'libp2p'

/** Where the nodes are, and what looks like a request to them. */
export interface AttackPlan {
  /** The address of this machine that the attack comes from. */
  readonly from: string
  readonly targets: readonly { readonly httpPort: number; readonly p2pPort: number }[]
  /** A well-formed request that nobody signed, as JSON. */
  readonly unsigned: string
  /** One whose signature is to be replaced, as JSON. */
  readonly signed: string
  /** Frames of the delegate protocol, each with a request whose signature is wrong, under different correlation ids; base64. */
  readonly frames: readonly string[]
}

type Target = AttackPlan['targets'][number]
type Attack = (plan: AttackPlan, count: () => void) => Promise<void>

const WORKERS = 16
const CROWD = 400

/** Goes on for ever: each worker at each target, again as soon as it is done. */
async function forever(plan: AttackPlan, workers: number, act: (target: Target) => Promise<void>): Promise<void> {
  const work = async (target: Target): Promise<void> => {
    for (;;) {
      const startMs = performance.now()
      // A refused connection or a reset is the node's answer to an attacker.
      await act(target).catch(() => undefined)
      // Refused at once: breathe, or this process does nothing but fail.
      if (performance.now() - startMs < 1) await passed(1)
    }
  }
  await Promise.all(plan.targets.flatMap((target) => Array.from({ length: workers }, () => work(target))))
}

function post(agent: Agent, from: string, port: number, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const options = {
      agent,
      port,
      host: '127.0.0.1',
      path: '/v1/delegate',
      method: 'POST',
      headers,
      localAddress: from,
    }
    const call = request(options, (response) => {
      response.resume()
      response.once('close', resolve)
    })
    call.once('error', reject)
    call.end(body)
  })
}

const posting =
  (bodyOf: (plan: AttackPlan) => string): Attack =>
  async (plan, count) => {
    const agent = new Agent({ keepAlive: true, maxSockets: WORKERS })
    await forever(plan, WORKERS, async ({ httpPort }) => {
      await post(agent, plan.from, httpPort, bodyOf(plan))
      count()
    })
  }

function forge({ signed }: AttackPlan): string {
  const authorization = JSON.parse(signed) as Readonly<Record<string, string>>
  return JSON.stringify({ ...authorization, signature: `0x${randomBytes(64).toString('hex')}` })
}

/** A connection that has said `opening`. */
async function open(from: string, port: number, opening: string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress: from })
  socket.on('error', () => socket.destroy())
  socket.resume()
  await once(socket, 'connect', { signal: AbortSignal.timeout(2_000) })
  socket.write(opening)
  return socket
}

const closed = async (socket: Socket): Promise<void> => {
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve))
}

const head = (framing: string): string =>
  `POST /v1/delegate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${framing}\r\n\r\n`

/** Bodies above the cap: announced, or sent until the node hangs up. */
const oversized: Attack = async (plan, count) => {
  const chunk = Buffer.alloc(64 * 1024, ' ')
  const piece = Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n')])
  await forever(plan, WORKERS, async ({ httpPort }) => {
    const announced = await open(plan.from, httpPort, head('Content-Length: 536870912'))
    const chunked = await open(plan.from, httpPort, head('Transfer-Encoding: chunked'))
    count()
    while (!chunked.destroyed && chunked.bytesWritten < 8 * 1024 * 1024)
      if (!chunked.write(piece)) await Promise.race([once(chunked, 'drain'), closed(chunked)])
    await Promise.all([closed(announced), closed(chunked)])
  })
}

/** A body that never ends, one byte at a time. */
const slow: Attack = (plan, count) =>
  forever(plan, CROWD, async ({ httpPort }) => {
    const socket = await open(plan.from, httpPort, `${head('Content-Length: 1000000')}{"payload":"0x`)
    count()
    const drip = setInterval(() => socket.write('0'), 500)
    await closed(socket)
    clearInterval(drip)
  })

/** As many connections as there may be, idle or with half a header, on both ports. */
const connections: Attack = (plan, count) =>
  forever(plan, CROWD, async ({ httpPort, p2pPort }) => {
    const [port, opening] =
      Math.random() < 0.5 ? [p2pPort, ''] : [httpPort, Math.random() < 0.5 ? '' : 'GET /health HTTP/1.1\r\nX-Slow: ']
    const socket = await open(plan.from, port, opening)
    count()
    await closed(socket)
  })

/** Goes to `net.connect` as it is; the type knows less. */
const dialFrom = (localAddress: string): object => ({ localAddress })

const host = (from: string): Promise<Libp2p> =>
  createLibp2p({
    addresses: { listen: [] },
    transports: [tcp({ dialOpts: dialFrom(from) })],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
  })

/** As many identities, connections and streams as there may be, each full of badly signed requests, or of nonsense. */
const streams: Attack = async (plan, count) => {
  const frames = plan.frames.map((frame) => Buffer.from(frame, 'base64'))
  const identities = await Promise.all([host(plan.from), host(plan.from), host(plan.from)])
  await forever(plan, WORKERS, async ({ p2pPort }) => {
    const identity = identities[Math.floor(Math.random() * identities.length)]
    if (identity === undefined) return
    const signal = AbortSignal.timeout(5_000)
    const address = multiaddr(`/ip4/127.0.0.1/tcp/${p2pPort}`)
    const stream = await identity.dialProtocol(address, DELEGATE_PROTOCOL, { signal, force: Math.random() < 0.05 })
    count()
    stream.addEventListener('message', count)
    const nonsense = Math.random() < 0.2
    for (let sent = 0; stream.status === 'open'; sent++) {
      const frame = nonsense ? randomBytes(1024) : frames[sent % frames.length]
      if (frame !== undefined && !stream.send(frame)) await stream.onDrain({ signal: AbortSignal.timeout(5_000) })
      if (sent % frames.length === 0) await passed(1)
    }
  })
}

export const ATTACKS = {
  unauthenticated: posting(({ unsigned }) => unsigned),
  'badly-signed': posting(forge),
  oversized,
  slow,
  connections,
  streams,
} satisfies Readonly<Record<string, Attack>>

export type AttackName = keyof typeof ATTACKS
