import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, Libp2p } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { pureJsCrypto } from '@chainsafe/libp2p-noise'
import { bytesKey } from '@tkms/dkg'
import { createLibp2p } from 'libp2p'
import { afterEach, expect, test } from 'vitest'
import { channelBindingOf } from './channel-binding.ts'
import { startStranger, startTestHost } from './test-hosts.fixture.ts'
import { wholeNoise } from './whole-messages.ts'

const started: { stop(): Promise<void> | void }[] = []
afterEach(async () => {
  for (const item of started.splice(0).toReversed()) await item.stop()
})

/** A host, and every hash that its Noise has computed. */
async function startWatched(): Promise<{ readonly host: Libp2p; readonly hashes: ReadonlySet<string> }> {
  const hashes = new Set<string>()
  const crypto = {
    ...pureJsCrypto,
    hashSHA256: (data: Parameters<typeof pureJsCrypto.hashSHA256>[0]) => {
      const hash = pureJsCrypto.hashSHA256(data)
      hashes.add(bytesKey(hash))
      return hash
    },
  }
  const host = await createLibp2p({
    privateKey: await generateKeyPair('Ed25519'),
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [wholeNoise({ crypto })],
    streamMuxers: [yamux()],
  })
  started.push(host)
  return { host, hashes }
}

const nextConnection = (host: Libp2p): Promise<Connection> =>
  new Promise((resolve) =>
    host.addEventListener('connection:open', ({ detail }: { readonly detail: Connection }) => resolve(detail), {
      once: true,
    }),
  )
const hex = (connection: Connection): string => bytesKey(channelBindingOf(connection) ?? new Uint8Array(0))

test('both ends of a connection have the hash of its Noise handshake, and no other connection has it', async () => {
  const left = await startWatched()
  const right = await startWatched()
  const accepted = nextConnection(right.host)
  const dialled = await left.host.dial(right.host.getMultiaddrs())
  const binding = hex(dialled)
  expect(binding).toHaveLength(64)
  expect(hex(await accepted)).toBe(binding)
  expect([left.hashes.has(binding), right.hashes.has(binding)]).toEqual([true, true])
  const acceptedAgain = nextConnection(right.host)
  const again = hex(await left.host.dial(right.host.getMultiaddrs(), { force: true }))
  expect(again).not.toBe(binding)
  expect(hex(await acceptedAgain)).toBe(again)
  const last = [...left.hashes].at(-1)
  expect([left.hashes.has(again), last]).toEqual([true, again])
})

test('a peer whose Noise writes in pieces changes nothing, and its own end has no binding', async () => {
  const { host } = await startTestHost(1, [])
  const stranger = await startStranger()
  started.push(host, stranger)
  const accepted = nextConnection(host)
  const dialled = await stranger.dial(host.getMultiaddrs())
  expect(hex(await accepted)).toHaveLength(64)
  expect(channelBindingOf(dialled)).toBeUndefined()
})
