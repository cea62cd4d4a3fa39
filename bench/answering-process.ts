import { join } from 'node:path'
import { selectCurve } from '@tkms/curve-native'
import type { Authorization } from '@tkms/dkg'
import { fileLedger } from './audit.ts'
import { askAll, type LoadCost } from './prepared-load.ts'
import { serveHelper } from './helper-process.ts'
import { createServingNode, type ServingNode } from './serving-node.ts'

/** The serving path of a node without a network: what `asking-process.ts` does over one, in one process. */
export type AnsweringMessage =
  | { readonly kind: 'open'; readonly directory: string }
  | { readonly kind: 'prepare'; readonly items: number; readonly requests: number }
  | { readonly kind: 'run'; readonly items: number; readonly inFlight: number }

const CALL = { remote: 'bench', address: '127.0.0.1', signal: new AbortController().signal }
/** As a node without other settings has them. */
const LIMITS = { maxRequestsInFlight: 16, maxRequestsQueued: 512 }

let node: ServingNode | undefined
let close = (): void => undefined
let requests: readonly Authorization[] = []

async function answer(message: AnsweringMessage): Promise<LoadCost | undefined> {
  if (message.kind === 'open') {
    const ledger = fileLedger(join(message.directory, 'answering.db'))
    close = () => ledger.close()
    node = createServingNode(selectCurve().curve, { ledger, envelopes: 256, limits: LIMITS })
    return undefined
  }
  const opened = node
  if (opened === undefined) throw new Error('not opened')
  if (message.kind === 'prepare') {
    requests = Array.from({ length: message.requests }, () => opened.request(message.items))
    return undefined
  }
  return askAll(requests, message, async (request) => {
    const result = await opened.pipeline.handle(request, CALL)
    if (result.kind !== 'answer') throw new Error(`the request was refused: ${result.code}`)
  })
}

serveHelper(
  (message) => answer(message as AnsweringMessage),
  () => close(),
)
