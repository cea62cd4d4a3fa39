import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Libp2p } from '@libp2p/interface'
import { afterEach, expect, test } from 'vitest'
import { startStranger, startTestHost, TEST_LIMITS } from './test-hosts.fixture.ts'

const started: { stop(): Promise<void> | void }[] = []
afterEach(async () => {
  for (const item of started.splice(0).toReversed()) await item.stop()
})

async function stranger(): Promise<Libp2p> {
  const host = await startStranger()
  started.push(host)
  return host
}

/** The node ended the connection, in whatever phase; it did not merely lack the protocol. */
const isCutOff = (error: unknown): boolean => error instanceof Error && error.name !== 'UnsupportedProtocolError'

test('clients share their limit, and a roster peer always finds room', async () => {
  const { host } = await startTestHost(1, [], { ...TEST_LIMITS, maxClientConnections: 2 })
  started.push(host)
  const address = host.getMultiaddrs()
  const first = await stranger()
  await first.dial(address)
  await (await stranger()).dial(address)
  await expect((await stranger()).dialProtocol(address, '/ipfs/id/1.0.0')).rejects.toSatisfy(isCutOff)
  const member = await startTestHost(2, [address.map(String)])
  started.push(member.host)
  const connection = await member.host.dial(address)
  const stream = await connection.newStream('/ipfs/id/1.0.0')
  expect(stream.protocol).toBe('/ipfs/id/1.0.0')
})

test('a client that leaves makes room for another', async () => {
  const { host } = await startTestHost(1, [], { ...TEST_LIMITS, maxClientConnections: 1 })
  started.push(host)
  const first = await stranger()
  await first.dial(host.getMultiaddrs())
  const gone = once(host as unknown as EventTarget, 'connection:close')
  await first.stop()
  await gone
  const connection = await (await stranger()).dial(host.getMultiaddrs())
  expect(connection.status).toBe('open')
})

test('sockets that never finish the handshake are ended, and a roster peer connects meanwhile', async () => {
  const { host } = await startTestHost(1, [], { ...TEST_LIMITS, handshakeTimeoutMs: 500 })
  started.push(host)
  const [address] = host.getMultiaddrs()
  const port = Number(address?.getComponents().find(({ name }) => name === 'tcp')?.value)
  const sockets: Socket[] = await Promise.all(
    Array.from({ length: 64 }, async () => {
      const socket = connect(port, '127.0.0.1')
        .on('error', () => {})
        .resume()
      await once(socket, 'connect')
      return socket
    }),
  )
  const closing = Promise.all(
    sockets.map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()))),
  )
  const member = await startTestHost(2, [host.getMultiaddrs().map(String)])
  started.push(member.host)
  expect((await member.host.dial(host.getMultiaddrs())).status).toBe('open')
  await closing
})

test('a client connection without streams is closed after the idle time', async () => {
  const { host } = await startTestHost(1, [], { ...TEST_LIMITS, idleConnectionMs: 200 })
  started.push(host)
  const connection = await (await stranger()).dial(host.getMultiaddrs())
  if (connection.status === 'open') await once(connection as unknown as EventTarget, 'close')
  expect(host.getConnections()).toEqual([])
})

test('row 30: a member that leaves the roster shares the limit of the clients, one that comes has room', async () => {
  const { host, roster } = await startTestHost(1, [], { ...TEST_LIMITS, maxClientConnections: 1 })
  started.push(host)
  const address = host.getMultiaddrs()
  await (await stranger()).dial(address)
  const member = await startTestHost(2, [address.map(String)])
  started.push(member.host)
  const { entries } = roster
  roster.set(entries.map((entry) => ({ ...entry, role: entry.node.index === 2 ? 'former' : entry.role })))
  await expect(member.host.dialProtocol(address, '/ipfs/id/1.0.0')).rejects.toSatisfy(isCutOff)
  roster.set(entries.filter(({ node }) => node.index !== 2))
  await expect(member.host.dialProtocol(address, '/ipfs/id/1.0.0')).rejects.toSatisfy(isCutOff)
  roster.set(entries)
  expect((await member.host.dialProtocol(address, '/ipfs/id/1.0.0')).protocol).toBe('/ipfs/id/1.0.0')
})
