import { join } from 'node:path'
import type { NodeAnswer, RequestSigner } from '@tkms/kms-client'
import { createNodeKmsClient, generateKeyFile, readSigner, writeAtomically } from '@tkms/kms-client/node'

/** Who may open the file: an Ed25519 key in a file that the `tkms` command line reads too. */
export interface Owner {
  readonly file: string
  readonly publicKeyId: string
}

export async function writeOwner(directory: string): Promise<Owner> {
  const file = join(directory, 'owner.pem')
  const { pem, name } = await generateKeyFile('signer')
  await writeAtomically(file, pem, { force: false, mode: 0o600 })
  return { file, publicKeyId: name }
}

export interface Sealing {
  readonly clusterFile: unknown
  readonly owner: Owner
  readonly keyName: string
  readonly plaintext: Uint8Array
}

/** Encrypts without asking anybody. */
export async function sealFile({ clusterFile, owner, keyName, plaintext }: Sealing): Promise<Uint8Array> {
  const kms = await createNodeKmsClient({ cluster: clusterFile })
  try {
    const sealed = await kms.encrypt(plaintext, { key: keyName, owners: [owner.publicKeyId] })
    return sealed.toBytes()
  } finally {
    await kms.close()
  }
}

export interface Opened {
  readonly plaintext: Uint8Array
  readonly answered: readonly string[]
  readonly tookMs: number
}

export interface Opening {
  readonly clusterFile: unknown
  readonly owner: Owner
  readonly envelope: Uint8Array
}

/** Opens an envelope through the cluster. @throws QuorumError */
export async function openFile({ clusterFile, owner, envelope }: Opening): Promise<Opened> {
  const signer: RequestSigner = await readSigner(owner.file)
  const answered: NodeAnswer[] = []
  const kms = await createNodeKmsClient({
    cluster: clusterFile,
    signer,
    onNodeAnswer: (answer) => answered.push(answer),
  })
  try {
    await kms.requesterKey()
    const startedMs = performance.now()
    const plaintext = await kms.decrypt(envelope, { signal: AbortSignal.timeout(30_000) })
    return { plaintext, answered: answered.map(({ name }) => name), tookMs: performance.now() - startedMs }
  } finally {
    await kms.close()
  }
}
