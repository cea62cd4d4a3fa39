import { secp256k1 } from '@noble/curves/secp256k1.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { ethereumAddress, typedDataDigest } from '@tkms/dkg'
import { createEip712Signer, type KmsClientOptions, QuorumError, type TypedData } from '@tkms/kms-client'
import { createNodeKmsClient, libp2p, pinnedHttp } from '@tkms/kms-client/node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestCluster, makeKey, type TestCluster } from '../support/node-cluster.ts'

/** A wallet with a key of its own that notes what its owner was shown. */
function createWallet(): { readonly signer: NonNullable<KmsClientOptions['signer']>; readonly shown: string[] } {
  const key = secp256k1.utils.randomSecretKey()
  const address = `0x${bytesToHex(ethereumAddress(secp256k1.getPublicKey(key, false)))}`
  const shown: string[] = []
  const signTypedData = async (data: TypedData): Promise<string> => {
    shown.push(data.primaryType)
    const signed = secp256k1.sign(typedDataDigest(data), key, { prehash: false, format: 'recovered' })
    return `0x${bytesToHex(signed.slice(1))}${bytesToHex(Uint8Array.of(27 + (signed[0] ?? 0)))}`
  }
  return { signer: createEip712Signer({ address, signTypedData }), shown }
}

const text = new TextEncoder().encode('for a wallet')
let cluster: TestCluster

beforeAll(async () => {
  cluster = await createTestCluster({ n: 3, t: 2 })
  await Promise.all(cluster.nodes.map((node) => node.start()))
  await makeKey(cluster.nodes, 'ecies/1')
}, 120_000)
afterAll(() => cluster.dispose())

test.each([
  ['HTTP', pinnedHttp],
  ['libp2p', libp2p],
] as const)(
  'a wallet opens what is its own over %s: each request signed, or one session for all',
  async (_name, transport) => {
    const { signer, shown } = createWallet()
    const file = await cluster.file()
    const kms = await createNodeKmsClient({ cluster: file, signer, transport: transport() })
    const inSession = await createNodeKmsClient({ cluster: file, signer, sessions: true, transport: transport() })
    const stranger = await createNodeKmsClient({
      cluster: file,
      signer: createWallet().signer,
      sessions: true,
      transport: transport(),
    })
    try {
      const envelope = await kms.encrypt(text, { owners: [signer.publicKeyId] })
      expect(await kms.decrypt(envelope)).toEqual(text)
      expect(shown.splice(0)).toEqual(['DecryptionRequest'])
      for (let n = 0; n < 3; n++) expect(await inSession.decrypt(envelope)).toEqual(text)
      expect(shown).toEqual(['DecryptionSession'])
      const refused: unknown = await stranger.decrypt(envelope).catch((error: unknown) => error)
      expect(refused).toBeInstanceOf(QuorumError)
      const codes = new Set((refused as QuorumError).causes.map(({ code }) => code))
      expect([...codes].filter((code) => code !== 'not-needed')).toEqual(['not-allowed'])
    } finally {
      await Promise.all([kms, inSession, stranger].map((client) => client.close()))
    }
  },
)
