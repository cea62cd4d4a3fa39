import { http } from '../transport/http.ts'
import type { Transport } from '../transport/types.ts'
import { pinnedExchange } from './pinned-exchange.ts'

/**
 * The HTTP transport of Node: TLS 1.3 in which every node is recognised by the key the cluster file lists for it.
 * @example
 * const kms = await createNodeKmsClient({ cluster, signer, transport: pinnedHttp() })
 */
export function pinnedHttp(): Transport {
  const { exchange, close } = pinnedExchange()
  return {
    ask: http({ exchange }).ask,
    close() {
      close()
      return Promise.resolve()
    },
  }
}
