import { type ClusterNode, MAX_CERTIFICATE_BYTES, maxSignedMessageBytes, participantIndex } from '@tkms/dkg'
import { tkms } from '@tkms/proto'
import { expect, test } from 'vitest'
import { type CeremonyFrame, decodeCeremonyFrame, encodeCeremonyFrame } from './ceremony-frame.ts'
import { maxCeremonyFrameBytes, maxFrameBytes } from './frame-caps.ts'
import { testCluster } from './test-hosts.fixture.ts'

const bytes = (length: number, value = 7): Uint8Array => new Uint8Array(length).fill(value)
const [first, second] = testCluster(3, [['/ip4/10.0.0.1/tcp/7001', '/dns4/alice.example/tcp/7001']]).nodes
if (first === undefined || second === undefined) throw new Error('three nodes')
const https: ClusterNode = { ...second, url: 'https://bob.example:7443', tlsSpkiSha256: bytes(32) }
const ceremony = bytes(32, 1)

const frames: readonly CeremonyFrame[] = [
  { type: 'message', ceremony, signed: bytes(500) },
  { type: 'fetch', ceremony, sid: bytes(32, 2), dealer: 65_535, dealHash: bytes(32, 3) },
  { type: 'certificate', ceremony, certificate: bytes(900) },
  { type: 'proposal', spec: bytes(300), nodes: [] },
  { type: 'proposal', spec: bytes(300), nodes: [first, https] },
  { type: 'authorization', ceremony, index: participantIndex(65_535), signature: bytes(64) },
  { type: 'statusRequest', ceremony },
  { type: 'status', ceremony, messages: [] },
  { type: 'status', ceremony, messages: [bytes(10), bytes(20)], cert1: bytes(30) },
  { type: 'repair', message: bytes(65_536) },
  { type: 'destroy', message: bytes(1) },
  { type: 'erased', message: bytes(100) },
  { type: 'keyHeads', heads: [], reply: true },
  {
    type: 'keyHeads',
    heads: [{ keyId: bytes(32), sharingId: bytes(32, 4), epoch: 2 ** 32 - 1, attempt: 0 }],
    reply: false,
  },
  { type: 'fetchCertificate', sharingId: bytes(32, 5) },
  { type: 'promisesRequest' },
  { type: 'promises', specs: [], orders: [], last: true },
  {
    type: 'promises',
    specs: [{ spec: bytes(4632) }, { spec: bytes(1), authorization: bytes(64) }],
    orders: [bytes(65_536)],
    last: false,
  },
]

test.for(frames.map((frame) => [frame.type, frame] as const))('a %s frame comes back as it was', ([, frame]) => {
  expect(decodeCeremonyFrame(encodeCeremonyFrame(frame))).toEqual(frame)
})

test('a peer says no revision of an entry: its word gives way to any file of the operator', () => {
  const frame = (node: ClusterNode): CeremonyFrame => ({ type: 'proposal', spec: bytes(300), nodes: [node] })
  expect(decodeCeremonyFrame(encodeCeremonyFrame(frame({ ...https, revision: 9 })))).toEqual(frame(https))
})

test('decoded bytes are copies: the receive buffer may be used again', () => {
  const wire = encodeCeremonyFrame({ type: 'status', ceremony, messages: [bytes(10)] })
  const frame = decodeCeremonyFrame(wire)
  wire.fill(0xee)
  expect(frame).toEqual({ type: 'status', ceremony, messages: [bytes(10)] })
})

const encode = (frame: tkms.v1.CeremonyFrame.$Properties): Uint8Array => tkms.v1.CeremonyFrame.encode(frame).finish()
const entry = (change: tkms.v1.NodeEntry.$Properties): tkms.v1.CeremonyFrame.$Properties => ({
  proposal: {
    spec: bytes(10),
    nodes: [
      {
        index: 9,
        name: 'bob',
        ed25519: https.publicKey,
        multiaddrs: ['/ip4/10.0.0.1/tcp/1'],
        url: https.url,
        tlsSpkiSha256: bytes(32),
        ...change,
      },
    ],
  },
})
const head = { keyId: bytes(32), sharingId: bytes(32), epoch: 0, attempt: 0 }

test('the entry that the next test spoils is good', () => {
  expect(decodeCeremonyFrame(encode(entry({})))).toMatchObject({ nodes: [{ index: 9, name: 'bob' }] })
})

test.for<readonly [string, tkms.v1.CeremonyFrame.$Properties]>([
  ['no body', {}],
  ['a short ceremony id', { statusRequest: { ceremony: bytes(31) } }],
  ['no ceremony id', { status: { messages: [bytes(1)] } }],
  ['a long sharing id', { fetchCertificate: { sharingId: bytes(33) } }],
  ['a short AUTH signature', { authorization: { ceremony, index: 1, signature: bytes(63) } }],
  ['index 0 in an AUTH', { authorization: { ceremony, index: 0, signature: bytes(64) } }],
  ['index 65536 in an AUTH', { authorization: { ceremony, index: 65_536, signature: bytes(64) } }],
  ['73 messages in a STATUS', { status: { ceremony, messages: Array.from({ length: 73 }, () => bytes(1)) } }],
  ['an empty repair message', { repair: { message: bytes(0) } }],
  ['a repair message above 64 KiB', { repair: { message: bytes(65_537) } }],
  ['a destroy message above 64 KiB', { destroy: { message: bytes(65_537) } }],
  ['an ERASED above 64 KiB', { erased: { message: bytes(65_537) } }],
  ['513 key heads', { keyHeads: { heads: Array.from({ length: 513 }, () => head) } }],
  ['a key head with a short key id', { keyHeads: { heads: [{ ...head, keyId: bytes(31) }] } }],
  ['an X that no two committees need', { proposal: { spec: bytes(4633) } }],
  ['a promised X that no two committees need', { promises: { specs: [{ spec: bytes(4633) }] } }],
  ['a promise of no X', { promises: { specs: [{}] } }],
  ['a promise with a short AUTH', { promises: { specs: [{ spec: bytes(10), authorization: bytes(63) }] } }],
  ['33 promises', { promises: { specs: Array.from({ length: 33 }, () => ({ spec: bytes(10) })) } }],
  ['three orders', { promises: { orders: [bytes(1), bytes(1), bytes(1)] } }],
  ['an order above 64 KiB', { promises: { orders: [bytes(65_537)] } }],
  ['65 nodes', { proposal: { spec: bytes(10), nodes: Array.from({ length: 65 }, () => ({ index: 1 })) } }],
  ['a node of index 0', entry({ index: 0 })],
  ['a node with a name of two lines', entry({ name: 'bob\nevil' })],
  ['a node with a small-order key', entry({ ed25519: bytes(32, 0) })],
  ['a node with 17 addresses', entry({ multiaddrs: Array.from({ length: 17 }, () => '/ip4/10.0.0.1/tcp/1') })],
  ['a node with a plain URL elsewhere', entry({ url: 'http://bob.example:7443' })],
  ['a node without its TLS key', entry({ tlsSpkiSha256: bytes(0) })],
  ['a node with a short TLS key', entry({ tlsSpkiSha256: bytes(31) })],
])('%s is no frame', ([, frame]) => {
  expect(() => decodeCeremonyFrame(encode(frame))).toThrow(expect.objectContaining({ code: 'bad-frame' }))
})

test('every prefix of every frame either decodes or is refused as bad-frame', () => {
  for (const frame of frames) {
    const wire = encodeCeremonyFrame(frame).subarray(0, 2000)
    for (let length = 0; length < wire.length; length++) {
      try {
        decodeCeremonyFrame(wire.subarray(0, length))
      } catch (error) {
        expect(error).toMatchObject({ code: 'bad-frame' })
      }
    }
  }
})

test.for([
  [3, 2],
  [5, 3],
  [16, 9],
  [64, 33],
  [64, 63],
] as const)('the caps of n = %i, t = %i hold what the protocol may have to carry', ([n, t]) => {
  const routed = 200
  expect(maxCeremonyFrameBytes({ n, t })).toBeGreaterThan(maxSignedMessageBytes(n, t) + routed)
  expect(maxCeremonyFrameBytes({ n, t, nOld: 64 })).toBeGreaterThan(maxSignedMessageBytes(n, t, 64) + routed)
  expect(maxFrameBytes(Math.max(n, 64))).toBeGreaterThanOrEqual(maxCeremonyFrameBytes({ n, t, nOld: 64 }))
})

test('the largest cap has room for the largest certificate, and no cap is above 4 MiB', () => {
  expect(maxFrameBytes(64)).toBeGreaterThan(MAX_CERTIFICATE_BYTES + 200)
  expect(maxFrameBytes(1000)).toBe(maxFrameBytes(64))
  expect(maxFrameBytes(64)).toBeLessThan(4 * 1024 * 1024)
})

test('the largest proposal and the largest lists of heads and promises fit under the smallest cap', () => {
  const node: ClusterNode = {
    ...https,
    name: 'n'.repeat(64),
    multiaddrs: Array.from({ length: 16 }, () => `/${'a'.repeat(255)}`),
    url: `https://${'h'.repeat(490)}:65535`,
  }
  const nodes = Array.from({ length: 64 }, () => node)
  expect(encodeCeremonyFrame({ type: 'proposal', spec: bytes(4632), nodes }).length).toBeLessThan(maxFrameBytes(3))
  const specs = Array.from({ length: 32 }, () => ({ spec: bytes(4632), authorization: bytes(64) }))
  const orders = [bytes(65_536), bytes(65_536)]
  expect(encodeCeremonyFrame({ type: 'promises', specs, orders, last: true }).length).toBeLessThan(maxFrameBytes(3))
  const heads = Array.from({ length: 512 }, () => ({ ...head, epoch: 2 ** 32 - 1, attempt: 2 ** 32 - 1 }))
  expect(encodeCeremonyFrame({ type: 'keyHeads', heads, reply: true }).length).toBeLessThan(maxFrameBytes(3))
})
