import { type Cluster, equalBytes, KmsError, type Secret, type VerifiedKey } from '@tkms/dkg'
import { certifiedSharing, withCertificate, writeClusterFile } from './cluster/cluster-file.ts'
import type { KeyTable, ServedKey } from './serve/key-table.ts'
import type { ShareStore, StoredShare } from './store/share-store.ts'
import { createTurns } from './turns.ts'

/** Brings the key of a finished ceremony into service. */
export interface KeyInstaller {
  /** The cluster with every certificate this node knows. */
  readonly cluster: () => Cluster
  /**
   * Stores certificate and share durably, reads them back, checks share * G == Y_j, serves the key, adds the certificate to the cluster
   * file (protocol 5: "serving with the new share"). The same key again changes nothing. `share` is borrowed.
   * @throws KmsError `bad-certificate`, `self-check-failed`, errors of the store
   */
  readonly install: (certificate: Uint8Array, share: Secret | undefined) => Promise<VerifiedKey>
  /** Adds what a crash kept out of the cluster file. */
  completeClusterFile(): Promise<void>
}

export interface KeyInstallerParams {
  readonly shares: ShareStore
  readonly keyTable: KeyTable
  /** Of the cluster file. */
  readonly path: string
  readonly cluster: Cluster
}

export function createKeyInstaller({ shares, keyTable, path, cluster: joined }: KeyInstallerParams): KeyInstaller {
  let cluster = joined

  const inTurn = createTurns()

  /** One at a time: ceremonies that end together would lose one another's certificate. */
  const addToClusterFile = (certificate: Uint8Array): Promise<void> =>
    inTurn(async () => {
      const extended = withCertificate(cluster, certificate)
      if (extended === cluster) return
      await writeClusterFile(path, extended)
      cluster = extended
    })

  const known = (sharingId: Uint8Array): ServedKey | undefined =>
    keyTable.list().find((served) => equalBytes(served.key.sharingId, sharingId))

  const install = async (certificate: Uint8Array, share: Secret | undefined): Promise<VerifiedKey> => {
    const held = known(certifiedSharing(certificate))
    const key =
      held === undefined || (!held.hasShare && share !== undefined) ? await serve(certificate, share) : held.key
    await addToClusterFile(certificate)
    return key
  }

  /** The key table verifies certificate and share once more, as they came back from the disk. */
  const serve = async (certificate: Uint8Array, share: Secret | undefined): Promise<VerifiedKey> => {
    await shares.put({ certificate, share })
    return keyTable.add(await readBack(certificate)).key
  }

  const readBack = async (certificate: Uint8Array): Promise<StoredShare> => {
    const stored = await shares.list()
    const mine = stored.find((entry) => equalBytes(entry.certificate, certificate))
    for (const entry of stored) if (entry !== mine) entry.share?.destroy()
    if (mine === undefined)
      throw new KmsError('self-check-failed', 'the share that was just stored cannot be read back')
    return mine
  }

  return {
    cluster: () => cluster,
    install,
    completeClusterFile: async () => {
      for (const { key } of keyTable.list()) await addToClusterFile(key.certificate)
    },
  }
}
