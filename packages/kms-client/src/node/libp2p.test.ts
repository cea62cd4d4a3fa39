import { selectCurve } from '@tkms/curve-native'
import { type Authorization, type ClusterNode, parseCluster, type RefusalCode, Secret } from '@tkms/dkg'
import { tkms } from '@tkms/proto'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createKmsClient } from '../client.ts'
import { createEd25519Signer } from '../signer.ts'
import { createTestCluster, type TestCluster } from './testing/test-cluster.ts'
import { startTestHost, type TestHost, type TestStream } from './testing/test-libp2p.ts'
import type { Transport } from '../transport/types.ts'
import { dialAddresses, libp2p } from './libp2p.ts'

const curve = selectCurve().curve
const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
const authorization: Authorization = { payload: Uint8Array.of(1), signature: new Uint8Array(64), publicKeyId: 'none' }
const limits = { maxReplyBytes: 1_000 }
let cluster: TestCluster
let hosts: TestHost[] = []
let opened: Transport | undefined

beforeAll(() => {
  cluster = createTestCluster(curve)
})
afterEach(async () => {
  await opened?.close()
  await Promise.all(hosts.map((host) => host.close()))
  hosts = []
})

type OnCall = Parameters<typeof startTestHost>[1]

async function start(index: number, onCall: OnCall): Promise<TestHost> {
  const host = await startTestHost(cluster.nodes[index - 1]?.seed ?? new Uint8Array(32), onCall)
  hosts.push(host)
  return host
}

async function startOne(
  onCall: OnCall,
  options: Parameters<typeof libp2p>[0] = {},
): Promise<{ readonly node: ClusterNode; readonly transport: Transport }> {
  const { multiaddrs } = await start(1, onCall)
  const [node] = parseCluster(cluster.file((index) => ({ url: `http://127.0.0.1:${index}`, multiaddrs }))).nodes
  if (node === undefined) throw new Error('no node')
  const transport = libp2p(options)
  opened = transport
  return { node, transport }
}

const refuse = (stream: TestStream, correlationId: number, code: RefusalCode): void =>
  stream.reply(correlationId, { kind: 'refusal', code })

describe('libp2p', () => {
  it('decrypts through nodes, over one stream to each', async () => {
    const started = await Promise.all(
      [1, 2, 3, 4, 5].map((index) =>
        start(index, (call, stream) => {
          if (call.authorization !== undefined)
            stream.reply(call.correlationId, cluster.reply(index, call.authorization))
        }),
      ),
    )
    const file = cluster.file((index) => ({
      url: `http://127.0.0.1:${index}`,
      multiaddrs: started[index - 1]?.multiaddrs ?? [],
    }))
    const transport = libp2p()
    opened = transport
    const kms = await createKmsClient({ cluster: file, signer, curve, transport })
    const texts = ['one', 'two', 'three', 'four'].map((value) => new TextEncoder().encode(value))
    const envelopes = await Promise.all(texts.map((value) => kms.encrypt(value)))
    expect(await Promise.all(envelopes.map((envelope) => kms.decrypt(envelope)))).toEqual(texts)
    for (const host of started) expect(host.streams.length).toBeLessThanOrEqual(1)
  })

  it('matches replies to requests in whatever order they come', async () => {
    const waiting: number[] = []
    const codes: readonly RefusalCode[] = ['busy', 'not-allowed', 'replayed']
    const { node, transport } = await startOne(({ correlationId }, stream) => {
      waiting.push(correlationId)
      if (waiting.length === codes.length)
        for (const id of waiting.toReversed()) refuse(stream, id, codes[waiting.indexOf(id)] ?? 'internal')
    })
    const signal = new AbortController().signal
    const asks = codes.map(() => transport.ask(node, authorization, { signal, ...limits }))
    expect(await Promise.all(asks)).toEqual(codes.map((code) => ({ kind: 'refusal', code })))
  })

  it('shows the token beside the request that it is for', async () => {
    const shown: unknown[] = []
    const { node, transport } = await startOne((call, stream) => {
      shown.push(call.token)
      refuse(stream, call.correlationId, 'busy')
    })
    const signal = new AbortController().signal
    await transport.ask(node, authorization, { signal, ...limits, token: 'api-token_1' })
    await transport.ask(node, authorization, { signal, ...limits })
    expect(shown).toEqual(['api-token_1', undefined])
  })

  it('tells the node of a cancelled request, and goes on without its answer', async () => {
    const seen: string[] = []
    const controller = new AbortController()
    const { node, transport } = await startOne((call, stream) => {
      seen.push(call.authorization === undefined ? `cancel ${call.correlationId}` : `request ${call.correlationId}`)
      if (seen.length === 1) controller.abort(new Error('no longer needed'))
      if (call.authorization === undefined) refuse(stream, call.correlationId, 'cancelled')
      if (call.correlationId === 2) refuse(stream, 2, 'not-allowed')
    })
    const first = transport.ask(node, authorization, { signal: controller.signal, ...limits })
    await expect(first).rejects.toThrow('no longer needed')
    const signal = new AbortController().signal
    const second = await transport.ask(node, authorization, { signal, ...limits })
    expect(second).toEqual({ kind: 'refusal', code: 'not-allowed' })
    expect(seen).toEqual(['request 1', 'cancel 1', 'request 2'])
  })

  it.each<[string, (call: { correlationId: number }, stream: TestStream) => void]>([
    ['a reply to no request', (call, stream) => refuse(stream, call.correlationId + 7, 'busy')],
    ['bytes that are no frame', (_, stream) => stream.send(Uint8Array.of(0xff, 0xff, 0xff))],
    ['a frame that is too long', (_, stream) => stream.send(new Uint8Array(70_000))],
  ])('fails every call of a stream with %s, and opens another for the next', async (_, misbehave) => {
    let calls = 0
    const { node, transport } = await startOne((call, stream) => {
      calls += 1
      if (calls === 1) misbehave(call, stream)
      else refuse(stream, call.correlationId, 'busy')
    })
    const signal = new AbortController().signal
    await expect(transport.ask(node, authorization, { signal, ...limits })).rejects.toMatchObject({
      code: 'unreachable',
    })
    expect(await transport.ask(node, authorization, { signal, ...limits })).toEqual({ kind: 'refusal', code: 'busy' })
    expect(hosts[0]?.streams).toHaveLength(2)
  })

  it('leaves the stream of a node that says nothing, and opens another for the next request', async () => {
    const silenceMs = 50
    const { node, transport } = await startOne(
      ({ correlationId }, stream) => {
        if (hosts[0]?.streams.length === 2) refuse(stream, correlationId, 'busy')
      },
      { silenceMs },
    )
    const lost = transport.ask(node, authorization, { signal: AbortSignal.timeout(1_000), ...limits })
    await expect(lost).rejects.toMatchObject({ name: 'TimeoutError' })
    const { signal } = new AbortController()
    expect(await transport.ask(node, authorization, { signal, ...limits })).toEqual({ kind: 'refusal', code: 'busy' })
  })

  it('sends more than the stream takes at once, waiting for it each time', async () => {
    const { node, transport } = await startOne(({ correlationId }, stream) => refuse(stream, correlationId, 'busy'))
    const long = { ...authorization, payload: new Uint8Array(256 * 1024) }
    const { signal } = new AbortController()
    const asks = Array.from({ length: 48 }, () => transport.ask(node, long, { signal, ...limits }))
    for (const reply of await Promise.all(asks)) expect(reply).toEqual({ kind: 'refusal', code: 'busy' })
    expect(hosts[0]?.streams).toHaveLength(1)
  })

  it('sends the requests of one turn together', async () => {
    const { node, transport } = await startOne(({ correlationId }, stream) => refuse(stream, correlationId, 'busy'))
    const { signal } = new AbortController()
    const ask = (): ReturnType<Transport['ask']> => transport.ask(node, authorization, { signal, ...limits })
    await ask()
    let received = 0
    hosts[0]?.streams[0]?.addEventListener('message', () => received++)
    await Promise.all(Array.from({ length: 40 }, ask))
    expect(received).toBe(1)
  })

  it('gives each call its own bad reply, and keeps the stream', async () => {
    const { node, transport } = await startOne((call, stream) => {
      const { correlationId } = call
      if (correlationId === 1)
        stream.send(tkms.v1.DelegateReply.encode({ correlationId, refusal: { status: 0 } }).finish())
      else refuse(stream, correlationId, 'busy')
    })
    const signal = new AbortController().signal
    await expect(transport.ask(node, authorization, { signal, ...limits })).rejects.toMatchObject({
      code: 'bad-reply',
    })
    expect(await transport.ask(node, authorization, { signal, ...limits })).toEqual({ kind: 'refusal', code: 'busy' })
    expect(hosts[0]?.streams).toHaveLength(1)
  })

  it('does not talk to a peer with another identity at the address', async () => {
    const { multiaddrs } = await start(2, () => undefined)
    const [node] = parseCluster(cluster.file((index) => ({ url: `http://127.0.0.1:${index}`, multiaddrs }))).nodes
    if (node === undefined) throw new Error('no node')
    const transport = libp2p()
    opened = transport
    const signal = new AbortController().signal
    await expect(transport.ask(node, authorization, { signal, ...limits })).rejects.toMatchObject({
      code: 'unreachable',
    })
  })

  it('refuses addresses that name another peer', () => {
    const other = '/ip4/127.0.0.1/tcp/1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'
    const [node] = parseCluster(
      cluster.file((index) => ({ url: `http://127.0.0.1:${index}`, multiaddrs: [other] })),
    ).nodes
    if (node === undefined) throw new Error('no node')
    expect(() => dialAddresses(node)).toThrow('names another peer')
  })
})
