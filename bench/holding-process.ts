import { setMaxListeners } from 'node:events'
import { ed25519 } from '@noble/curves/ed25519.js'
import { selectCurve } from '@tkms/curve-native'
import type { Authorization, ClusterNode } from '@tkms/dkg'
import type { Transport } from '@tkms/kms-client'
import { type AskedNode, MAX_REPLY_BYTES, openTransport, readAskedNode, type TransportName } from './asked-node.ts'
import { serveHelper } from './helper-process.ts'
import { createRequester } from './requester.ts'

/** Holds connections and requests of a node open, so that what they take there can be measured. */
export type HoldingMessage =
  | { readonly kind: 'open'; readonly asked: AskedNode; readonly chainId: number }
  /** Each with an identity of its own; over libp2p with one open stream. */
  | { readonly kind: 'connect'; readonly transport: TransportName; readonly count: number }
  /** Over the connections that are open, about envelopes of somebody else. @returns bytes of one request */
  | { readonly kind: 'ask'; readonly items: number; readonly count: number }
  | { readonly kind: 'release' }

interface Holder {
  readonly node: ClusterNode
  readonly request: (items: number) => Authorization
  /** Refused at once. */
  readonly refused: () => Authorization
}

const { signal } = new AbortController()
setMaxListeners(0, signal)
const call = { signal, maxReplyBytes: MAX_REPLY_BYTES }
let holder: Holder | undefined
let connections: readonly Transport[] = []
let asked: Promise<unknown>[] = []

async function release(): Promise<void> {
  await Promise.all(connections.map((connection) => connection.close()))
  await Promise.allSettled(asked)
  connections = []
  asked = []
}

async function connect({ node, refused }: Holder, transport: TransportName): Promise<Transport> {
  const connection = openTransport[transport]()
  const reply = await connection.ask(node, refused(), call)
  if (reply.kind !== 'refusal' || reply.code !== 'not-allowed') throw new Error('the request was not refused')
  return connection
}

async function answer(message: HoldingMessage): Promise<number | undefined> {
  if (message.kind === 'release') {
    await release()
    return undefined
  }
  if (message.kind === 'open') {
    const { curve } = selectCurve()
    const { node, ...of } = readAskedNode(curve, message.asked)
    const owner = ed25519.getPublicKey(ed25519.utils.randomSecretKey())
    const request = createRequester(curve, { ...of, owner, chainId: message.chainId, envelopes: 256 })
    const refused = createRequester(curve, { ...of, owner, envelopes: 1 })
    holder = { node, request, refused: () => refused(1) }
    return undefined
  }
  const opened = holder
  if (opened === undefined) throw new Error('not opened')
  if (message.kind === 'connect') {
    const { transport, count } = message
    connections = await Promise.all(Array.from({ length: count }, () => connect(opened, transport)))
    return undefined
  }
  const requests = Array.from({ length: message.count }, () => opened.request(message.items))
  asked = requests.flatMap((request, at) => {
    const connection = connections[at % connections.length]
    return connection === undefined ? [] : [connection.ask(opened.node, request, call)]
  })
  // They end with their connections.
  for (const reply of asked) reply.catch(() => undefined)
  return requests[0]?.payload.length
}

serveHelper((message) => answer(message as HoldingMessage), release)
