import { type SelectedCurve, selectCurve } from '@tkms/curve-native'
import type { KmsClient, KmsClientOptions } from '../client-types.ts'
import { createKmsClient } from '../client.ts'
import { createNativeVerifier } from './native-signature.ts'
import { pinnedExchange } from './pinned-exchange.ts'
import { pinnedHttp } from './pinned-http.ts'
import type { Transport } from '../transport/types.ts'

/** libsecp256k1 where its binary is there and passes a self-check, else noble with the reason. */
export const nodeCurve = (): SelectedCurve => selectCurve()

/**
 * `createKmsClient` with what Node can do better: the native curve and signatures, and TLS that knows each node by the key in the cluster file.
 * @throws as `createKmsClient`
 * @example
 * const kms = await createNodeKmsClient({ cluster: JSON.parse(text), signer, transport: libp2p() })
 */
export async function createNodeKmsClient(options: KmsClientOptions): Promise<KmsClient> {
  const door = pinnedExchange()
  const transport = options.transport ?? pinnedHttp()
  const both: Transport = {
    ask: (node, authorization, call) => transport.ask(node, authorization, call),
    async close() {
      await transport.close()
      door.close()
    },
  }
  try {
    const native = { curve: nodeCurve().curve, verifySignature: createNativeVerifier(), exchange: door.exchange }
    return await createKmsClient({ ...native, ...options, transport: both })
  } catch (error) {
    door.close()
    throw error
  }
}
