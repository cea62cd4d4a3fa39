import { setMaxListeners } from 'node:events'
import { selectCurve } from '@tkms/curve-native'
import type { Authorization, ClusterNode } from '@tkms/dkg'
import { type AskedNode, MAX_REPLY_BYTES, openTransport, readAskedNode, type TransportName } from './asked-node.ts'
import { askAll, type LoadCost } from './prepared-load.ts'
import { serveHelper } from './helper-process.ts'
import { createRequester } from './requester.ts'

/** Asks a node over a network, with requests that were made before: what it measures is what the node takes. */
export type AskingMessage =
  | { readonly kind: 'open'; readonly asked: AskedNode }
  | { readonly kind: 'prepare'; readonly items: number; readonly requests: number }
  | { readonly kind: 'run'; readonly transport: TransportName; readonly items: number; readonly inFlight: number }

const ENVELOPES = 256

interface Asker {
  readonly node: ClusterNode
  readonly request: (items: number) => Authorization
}

const transports = { libp2p: openTransport.libp2p(), http: openTransport.http() }
const { signal } = new AbortController()
setMaxListeners(0, signal)
let asker: Asker | undefined
let requests: readonly Authorization[] = []

async function answer(message: AskingMessage): Promise<LoadCost | undefined> {
  if (message.kind === 'open') {
    const { curve } = selectCurve()
    const { node, ...of } = readAskedNode(curve, message.asked)
    asker = { node, request: createRequester(curve, { ...of, envelopes: ENVELOPES }) }
    return undefined
  }
  const opened = asker
  if (opened === undefined) throw new Error('not opened')
  if (message.kind === 'prepare') {
    requests = Array.from({ length: message.requests }, () => opened.request(message.items))
    return undefined
  }
  const transport = transports[message.transport]
  return askAll(requests, message, async (request) => {
    const reply = await transport.ask(opened.node, request, { signal, maxReplyBytes: MAX_REPLY_BYTES })
    if (reply.kind !== 'answer') throw new Error(`the request was refused: ${reply.code}`)
  })
}

serveHelper(
  (message) => answer(message as AskingMessage),
  async () => {
    await Promise.all(Object.values(transports).map((transport) => transport.close()))
  },
)
