import { noise } from '@chainsafe/libp2p-noise'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { ClusterNode, ParticipantIndex } from '@tkms/dkg'
import { createLibp2p, type Libp2p } from 'libp2p'
import { transportError } from '../transport/exchange.ts'
import type { Transport } from '../transport/types.ts'
import { type DelegateStream, openDelegateStream } from './delegate-stream.ts'

/** The protocol of interfaces 2: one long-lived stream, length-prefixed protobuf frames. */
export const DELEGATE_PROTOCOL = '/tkms/delegate/1.0.0'

const DEFAULT_DIAL_TIMEOUT_MS = 5_000
const DEFAULT_SILENCE_MS = 5_000

interface Link {
  readonly dialling: Promise<DelegateStream>
  /** Set once dialling has succeeded. */
  stream: DelegateStream | undefined
}

/**
 * The node's addresses, each ending in the PeerId of its roster key: Noise then proves whom we talk to.
 * @throws KmsError `unreachable` when one is not a multiaddr or names another peer
 */
export function dialAddresses(node: ClusterNode): Multiaddr[] {
  const suffix = `/p2p/${peerIdFromPublicKey(publicKeyFromRaw(node.publicKey)).toString()}`
  return node.multiaddrs
    .map((text) => {
      try {
        return multiaddr(text.includes('/p2p/') ? text : text + suffix)
      } catch (error) {
        throw transportError('unreachable', `an address of ${node.name} is not a multiaddr`, error)
      }
    })
    .map((address) => {
      if (!address.toString().endsWith(suffix))
        throw transportError('unreachable', `an address of ${node.name} names another peer`)
      return address
    })
}

/**
 * The libp2p transport of Node: TCP, Noise, Yamux, and one pipelined stream per node that is opened on first use and
 * reopened by the next request after it broke off. The client's own identity is fresh in every process and means nothing.
 * @param options.dialTimeoutMs for connection, handshake and protocol together
 * @param options.silenceMs a request given up after this time without a sign of the node costs the stream; the next one dials again
 * @example
 * const kms = await createNodeKmsClient({ cluster, signer, transport: libp2p() })
 */
export function libp2p(options: { readonly dialTimeoutMs?: number; readonly silenceMs?: number } = {}): Transport {
  const dialTimeoutMs = options.dialTimeoutMs ?? DEFAULT_DIAL_TIMEOUT_MS
  const silenceMs = options.silenceMs ?? DEFAULT_SILENCE_MS
  const links = new Map<ParticipantIndex, Link>()
  const closing = new AbortController()
  let host: Promise<Libp2p> | undefined

  async function dial(node: ClusterNode): Promise<DelegateStream> {
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(dialTimeoutMs)])
    try {
      host ??= startHost()
      const stream = await (await host).dialProtocol(dialAddresses(node), DELEGATE_PROTOCOL, { signal })
      return openDelegateStream(stream, { silenceMs })
    } catch (error) {
      throw transportError('unreachable', `${node.name} cannot be dialled`, error)
    }
  }

  /** Decided without a pause: requests that come together share one dial. */
  function streamTo(node: ClusterNode): Promise<DelegateStream> {
    const known = links.get(node.index)
    if (known !== undefined && (known.stream === undefined || known.stream.open)) return known.dialling
    const link: Link = { dialling: dial(node), stream: undefined }
    links.set(node.index, link)
    link.dialling.then(
      (stream) => {
        link.stream = stream
      },
      () => links.delete(node.index),
    )
    return link.dialling
  }

  return {
    async ask(node, authorization, call) {
      if (closing.signal.aborted) throw transportError('unreachable', 'the transport is closed')
      const stream = await withSignal(streamTo(node), call.signal)
      return stream.ask(authorization, call)
    },
    async close() {
      closing.abort()
      for (const link of links.values()) link.stream?.close()
      if (host !== undefined) await (await host).stop()
    },
  }
}

function startHost(): Promise<Libp2p> {
  return createLibp2p({
    addresses: { listen: [] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
  })
}

/** The value, or the signal's reason if that comes first: shared work goes on for its other users. */
function withSignal<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = (): void => reject(signal.reason as Error)
    if (signal.aborted) return cancel()
    signal.addEventListener('abort', cancel, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', cancel))
  })
}
