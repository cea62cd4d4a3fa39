import { type SelectedCurve, selectCurve } from '@tkms/curve-native'
import { createKmsClient, type KmsClient, type KmsClientOptions } from '../client.ts'
import { pinnedExchange } from './pinned-exchange.ts'
import { pinnedHttp } from './pinned-http.ts'

/** libsecp256k1 where its binary is there and passes a self-check, else noble with the reason. */
export const nodeCurve = (): SelectedCurve => selectCurve()

/**
 * `createKmsClient` with what Node can do better: the native curve, and TLS that knows each node by the key in the cluster file.
 * @throws as `createKmsClient`
 * @example
 * const kms = await createNodeKmsClient({ cluster: JSON.parse(text), signer, transport: libp2p() })
 */
export async function createNodeKmsClient(options: KmsClientOptions): Promise<KmsClient> {
  const door = pinnedExchange()
  try {
    return await createKmsClient({
      curve: nodeCurve().curve,
      transport: pinnedHttp(),
      exchange: door.exchange,
      ...options,
    })
  } finally {
    door.close()
  }
}
