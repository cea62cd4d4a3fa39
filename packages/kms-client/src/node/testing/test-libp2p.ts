import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { tkms } from '@tkms/proto'
import { type Authorization, refusalStatus } from '@tkms/dkg'
import * as lengthPrefixed from 'it-length-prefixed'
import { createLibp2p } from 'libp2p'
import type { TransportReply } from '../../transport/types.ts'

const { DelegateCall, DelegateReply } = tkms.v1

/** What one stream of a test node sees. `reply` may come in any order, or never. */
export interface TestStream {
  readonly send: (frame: Uint8Array) => void
  readonly reply: (correlationId: number, reply: TransportReply) => void
}

export interface TestHost {
  readonly multiaddrs: readonly string[]
  /** Streams opened so far. */
  readonly streams: Stream[]
  close(): Promise<void>
}

/** A libp2p node on a free loopback port that speaks the frames of `/tkms/delegate/1.0.0`. */
export async function startTestHost(
  seed: Uint8Array,
  onCall: (
    call: { readonly correlationId: number; readonly authorization?: Authorization; readonly token?: string },
    stream: TestStream,
  ) => void,
): Promise<TestHost> {
  const host = await createLibp2p({
    privateKey: await generateKeyPairFromSeed('Ed25519', seed),
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
  })
  const streams: Stream[] = []
  await host.handle('/tkms/delegate/1.0.0', async (stream) => {
    streams.push(stream)
    const send = (frame: Uint8Array): void => void stream.send(lengthPrefixed.encode.single(frame))
    const reply = (correlationId: number, value: TransportReply): void =>
      send(DelegateReply.encode({ correlationId, ...replyBody(value) }).finish())
    try {
      for await (const frame of lengthPrefixed.decode(stream)) {
        const { correlationId, request, token } = DelegateCall.decode(frame.slice())
        const authorization = request ? tkms.v1.Authorization.create(request) : undefined
        const shown = token ? { token } : {}
        onCall(authorization === undefined ? { correlationId } : { correlationId, authorization, ...shown }, {
          send,
          reply,
        })
      }
    } catch (error) {
      // The client ended the stream, which is how every test ends.
      if (stream.status === 'open') throw error
    }
  })
  return {
    multiaddrs: host.getMultiaddrs().map((address) => address.toString().replace(/\/p2p\/.*$/, '')),
    streams,
    close: async () => host.stop(),
  }
}

function replyBody(reply: TransportReply): tkms.v1.DelegateReply.$Properties {
  if (reply.kind === 'answer') return { answer: reply.answer }
  return { refusal: { status: refusalStatus(reply.code), skewSeconds: reply.skewSeconds ?? 0 } }
}
