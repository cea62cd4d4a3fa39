import { createKmsClient } from '../../client.ts'
import type { KmsClient, KmsClientOptions } from '../../client-types.ts'
import type { NodeFailure } from '../../errors.ts'
import { type Conduct, createMemoryTransport, type MemoryTransport, type TestCluster } from './test-cluster.ts'

/** A client of a cluster in memory, and what it says of the nodes. */
export interface MemoryClient {
  readonly kms: KmsClient
  readonly transport: MemoryTransport
  readonly failures: NodeFailure[]
}

/** @param options.conduct by node; the others are honest */
export async function createMemoryClient(
  cluster: TestCluster,
  options: Partial<KmsClientOptions> & { readonly conduct?: Readonly<Record<number, Conduct>> },
): Promise<MemoryClient> {
  const { conduct, ...rest } = options
  const transport = createMemoryTransport(cluster, conduct)
  const failures: NodeFailure[] = []
  const onNodeFailure = (failure: NodeFailure): unknown => failures.push(failure)
  const kms = await createKmsClient({ cluster: cluster.file(), transport, onNodeFailure, ...rest })
  return { kms, transport, failures }
}
