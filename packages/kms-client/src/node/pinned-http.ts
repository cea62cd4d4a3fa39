import { http } from '../transport/http.ts'
import type { Transport } from '../transport/types.ts'
import { pinnedExchange } from './pinned-exchange.ts'

/**
 * The HTTP transport of Node: TLS 1.3 in which every node is recognised by the key the cluster file lists for it.
 * @example
 * const kms = await createNodeKmsClient({ cluster, signer, transport: pinnedHttp() })
 */
export function pinnedHttp(): Transport {
  const door = pinnedExchange()
  const transport = http({ exchange: door.exchange })
  return {
    ask: (node, authorization, options) => transport.ask(node, authorization, options),
    close() {
      door.close()
      return Promise.resolve()
    },
  }
}
