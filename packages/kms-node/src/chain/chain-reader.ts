import { KmsError } from '@tkms/dkg'
import type { ChainConfig } from '../config/types.ts'
import { createWorkQueue } from '../serve/work-queue.ts'
import { agree, majority } from './agreement.ts'
import { createEndpoint, type EthCall } from './endpoint.ts'

/** Calls of one chain under way at once, and waiting behind them: a chain that is slow must not gather work without end. */
const MAX_CALLS = 32
const MAX_WAITING = 512

export interface ChainQuery extends EthCall {
  /** EIP-155. */
  readonly chainId: number
  /** Fires when nobody waits for the answer any more. */
  readonly signal: AbortSignal
}

export type ChainErrorCode =
  /** Too few endpoints gave one and the same answer in time, or too many calls wait. Fail closed; asking again later may help. */
  | 'chain-unavailable'
  /** Enough endpoints say that the contract reverted. */
  | 'chain-reverted'

/** Reads contracts of the chains that node.yaml configures. */
export interface ChainReader {
  /** Whether the chain is configured. */
  has(chainId: number): boolean
  /**
   * `eth_call` on the latest block, asked of every endpoint of the chain at once.
   * @returns the bytes that at least `required` endpoints returned, at most 4 KiB
   * @throws KmsError of `ChainErrorCode`; `data` names endpoints by their place in the configuration, never by URL, which may hold an API key
   */
  call(query: ChainQuery): Promise<Uint8Array>
}

/** Of a node without `chains`. */
export const NO_CHAINS: ChainReader = {
  has: () => false,
  call: ({ chainId }) => Promise.reject(unavailable(chainId, ['chain-not-configured'])),
}

/** @param chains by decimal chain id, as in node.yaml. The Ethereum library is loaded only when there is one. */
export async function createChainReader(chains: Readonly<Record<string, ChainConfig>>): Promise<ChainReader> {
  if (Object.keys(chains).length === 0) return NO_CHAINS
  const { getHttpRpcClient } = await import('viem/utils')
  const entries = Object.entries(chains).map(([id, config]) => [Number(id), config] as const)
  const known = new Map(entries.map(([id, config]) => [id, createChain(id, config, getHttpRpcClient)]))
  return {
    has: (chainId) => known.has(chainId),
    call: (query) => known.get(query.chainId)?.(query) ?? NO_CHAINS.call(query),
  }
}

function createChain(
  chainId: number,
  config: ChainConfig,
  client: Parameters<typeof createEndpoint>[0]['client'],
): (query: ChainQuery) => Promise<Uint8Array> {
  const { timeoutMs } = config
  const endpoints = config.rpc.map((url) => createEndpoint({ client, url, chainId, timeoutMs }))
  const required = config.required ?? majority(endpoints.length)
  const queue = createWorkQueue({ maxRunning: MAX_CALLS, maxWaiting: MAX_WAITING })
  return async ({ to, data, signal }) => {
    const result = await queue.enter(signal, () =>
      agree({ sources: endpoints.map((ask) => (each) => ask({ to, data }, each)), required, signal }),
    )
    if (typeof result === 'string') throw unavailable(chainId, [result])
    if (result.kind === 'split') throw unavailable(chainId, result.problems)
    if (result.answer.kind === 'reverted')
      throw new KmsError<ChainErrorCode>('chain-reverted', 'the contract reverted the call', { data: { chainId } })
    return result.answer.bytes
  }
}

/** @param problems fixed words, those of endpoints with their place: "2:timeout" */
function unavailable(chainId: number, problems: readonly string[]): KmsError<ChainErrorCode> {
  const which = problems.length === 0 ? '' : `: ${problems.join(', ')}`
  return new KmsError(
    'chain-unavailable',
    `too few endpoints of chain ${chainId} gave the same answer in time${which}`,
    { data: { chainId, problems }, retryable: true },
  )
}
