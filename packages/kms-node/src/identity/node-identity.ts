import { KmsError, type NodePublicKey, Secret } from '@tkms/dkg'
import type { RecordStore, Rng } from '../ports.ts'
import { publicKeyOf } from './ed25519-signer.ts'
import { createTlsIdentity, decodeTlsIdentity, encodeTlsIdentity, type TlsIdentity } from './tls-certificate.ts'

/** Ids of the records: one of each kind in a store. */
const ONLY = 'node'
const SEED_BYTES = 32

/** Who a node is: all of it drawn once by `init`, sealed, and kept for life. */
export interface NodeIdentity {
  /** Ed25519 seed, 32 bytes: libp2p identity and signer of every ceremony message and answer. */
  readonly seed: Secret
  readonly publicKey: NodePublicKey
  /** Hedges the randomness of ceremonies, 32 bytes. */
  readonly nodeSeed: Secret
  readonly tls: TlsIdentity
}

/** Draws an identity and stores it. The store is new: nothing is ever overwritten. */
export async function createNodeIdentity(
  store: RecordStore,
  rng: Rng,
  tls: { readonly name: string; readonly hosts: readonly string[]; readonly nowMs: number },
): Promise<NodeIdentity> {
  const seed = new Secret(rng.bytes(SEED_BYTES))
  const nodeSeed = new Secret(rng.bytes(SEED_BYTES))
  const tlsIdentity = await createTlsIdentity(tls.name, tls.hosts, tls.nowMs)
  const tlsRecord = encodeTlsIdentity(tlsIdentity)
  await store.put('node-seed', ONLY, nodeSeed)
  await store.put('tls', ONLY, tlsRecord)
  await store.put('identity', ONLY, seed)
  tlsRecord.destroy()
  return { seed, publicKey: publicKeyOf(seed), nodeSeed, tls: tlsIdentity }
}

/** @throws KmsError `no-identity` when `init` did not finish here; errors of the store */
export async function loadNodeIdentity(store: RecordStore): Promise<NodeIdentity> {
  const seed = await store.get('identity', ONLY)
  const nodeSeed = await store.get('node-seed', ONLY)
  const tlsRecord = await store.get('tls', ONLY)
  if (seed === undefined || nodeSeed === undefined || tlsRecord === undefined)
    throw new KmsError('no-identity', 'this store holds no identity: run init in a new directory')
  const tls = decodeTlsIdentity(tlsRecord)
  tlsRecord.destroy()
  return { seed, publicKey: publicKeyOf(seed), nodeSeed, tls }
}

/** Wipes what this process holds of it. */
export function forgetIdentity({ seed, nodeSeed, tls }: NodeIdentity): void {
  seed.destroy()
  nodeSeed.destroy()
  tls.key.destroy()
}
