import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { encodeNoxAuthorization, formatAuthorization, type NoxAuthorization, Secret } from '@tkms/dkg'
import { createEd25519Signer, QuorumError, type RequestSigner } from '@tkms/kms-client'
import { createNodeKmsClient, readSigner } from '@tkms/kms-client/node'
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  CHAIN,
  createNoxCluster,
  KEY_NAME,
  type NoxCluster,
  type RunningCombiner,
  WALLET_KEY,
} from '../support/nox-cluster.ts'
import {
  authorize,
  delegate,
  type DelegateKeys,
  encryptValue,
  newAccount,
  newUser,
  openValue,
  startNoxChain,
  type StoredValue,
} from '../support/nox-deployment.ts'
import { bytes, readJson } from '../support/vectors.ts'
import { vectorFolder } from '../support/vectors-folder.ts'

interface DerivedVectors {
  readonly ecies: Readonly<
    Record<'kmsPrivateKey' | 'kmsPublicKey' | 'ephemeralPubKey' | 'plaintext' | 'iv' | 'ciphertext', `0x${string}`>
  >
  readonly delegateAuthorization: {
    readonly domain: { readonly chainId: number }
    readonly message: DelegateKeys
    readonly signer: `0x${string}`
    readonly signature: string
  }
}
const vectors = vectorFolder === undefined ? undefined : readJson<DerivedVectors>('nox/derived.json')
/** The key of the vectors, which the same cluster takes over as well; its gateway is the one that signed them. */
const VECTOR_KEY_NAME = 'ecies/nox-vectors'
const VECTOR_POLICY = `  ${VECTOR_KEY_NAME}:
    envelopes: v1
    rule: nox
    chain: ${CHAIN}
    gateway: '${vectors?.delegateAuthorization.signer ?? newAccount().address}'
    combiners: ['IDENTITY']
`
const PLAINTEXT = crypto.getRandomValues(new Uint8Array(32))
const WALLET_ADDRESS = privateKeyToAccount(`0x${WALLET_KEY}`).address
/** As an existing deployment has it; its private key was imported and is gone. */
const NOX_ENVIRONMENT = {
  NOX_KMS_SERVER__HOST: '127.0.0.1',
  NOX_KMS_SERVER__PORT: '0',
  NOX_KMS_WALLET_KEY: `0x${WALLET_KEY}`,
  NOX_KMS_CHAINS__31337__NOX_COMPUTE_CONTRACT_ADDRESS: '0x75C6AF4430cc474b1bb9b8540b7E46D6f8e1C685',
  NOX_KMS_CHAINS__31337__CALL_TIMEOUT: '8s',
  NOX_KMS_CHAINS__31337__CONNECT_TIMEOUT: '5s',
  RUST_LOG: 'info',
}
const user = newUser()
const spkiHex = (key: KeyObject): string => createPublicKey(key).export({ type: 'spki', format: 'der' }).toString('hex')

let nox: NoxCluster
let listed: RequestSigner
let combiner: RunningCombiner

beforeAll(async () => {
  nox = await createNoxCluster(VECTOR_POLICY)
  listed = await readSigner(nox.file('combiner.pem'))
  await nox.importKey(KEY_NAME, nox.oldKey)
  if (vectors !== undefined) await nox.importKey(VECTOR_KEY_NAME, vectors.ecies.kmsPrivateKey)
  combiner = await nox.combiner({ yaml: combinerYaml() })
}, 240_000)
afterAll(() => nox.dispose())

const combinerYaml = (): string => nox.documented('combiner.yaml').replace('port: 9000', 'port: 0')
const value = (): StoredValue => encryptValue(nox.kmsPublicKey, PLAINTEXT)
const keysOf = (stored: StoredValue): DelegateKeys => ({
  ephemeralPubKey: stored.publicKey,
  targetPubKey: user.targetPubKey,
})
async function opens(stored = value()): Promise<void> {
  const answer = await nox.ask(combiner.url, keysOf(stored))
  expect(answer).toMatchObject({ status: 200, prover: WALLET_ADDRESS })
  expect(openValue(user, answer.encryptedSharedSecret, stored)).toBe(`0x${bytesToHex(PLAINTEXT)}`)
}

test('the key that was imported has the public key of the contract', async () => {
  expect(nox.identity).toBe(listed.publicKeyId)
  for (const node of nox.cluster.nodes)
    expect(await (await node.admin()).get('/keys')).toContainEqual(
      expect.objectContaining({ keyName: KEY_NAME, publicKey: nox.kmsPublicKey }),
    )
})

test('--check says what a start would find', async () => {
  const chains = [{ chainId: CHAIN, keyName: KEY_NAME, gateway: nox.gateway.address }]
  expect(await nox.check(nox.documented('combiner.yaml'))).toEqual({ requester: nox.identity, chains })
})

describe('a gateway', () => {
  test('gets what the single-key service gave', async () => {
    await opens()
    // Nothing in the log of the combiner or of a node opens anything.
    const logs = [combiner.log(), ...nox.cluster.nodes.map((node) => node.log())].join('\n')
    for (const secret of [nox.oldKey, WALLET_KEY, bytesToHex(PLAINTEXT)]) expect(logs).not.toContain(secret)
  })

  test('opens what the client of the cluster sealed as version 1', async () => {
    const kms = await createNodeKmsClient({ cluster: await nox.cluster.file() })
    const sealed = (await kms.encrypt(PLAINTEXT, { version: 1, key: KEY_NAME })).toJSON() as unknown as Record<
      string,
      `0x${string}`
    >
    await kms.close()
    const stored = {
      publicKey: sealed['public_key'],
      nonce: sealed['nonce'],
      ciphertext: sealed['ciphertext'],
    } as StoredValue
    await opens(stored)
  })

  test('may ask the same again, as before: the answer goes to the same RSA key', async () => {
    const keys = keysOf(value())
    const signature = await authorize(nox.gateway, CHAIN, keys)
    const [first, second] = await Promise.all(
      [1, 2].map(() => delegate(combiner.url, { chainId: CHAIN, keys, signature })),
    )
    expect([first?.status, second?.status]).toEqual([200, 200])
    const thief = newUser()
    const redirected = { ...keys, targetPubKey: thief.targetPubKey }
    expect(await delegate(combiner.url, { chainId: CHAIN, keys: redirected, signature })).toMatchObject({ status: 401 })
  })

  test('that is not the one of the contract gets nothing, and no node is asked', async () => {
    const before = nox.answers()
    const stranger = newAccount()
    expect(await nox.ask(combiner.url, keysOf(value()), stranger)).toEqual({
      status: 401,
      error: `Unauthorized: signer ${stranger.address} does not match gateway ${nox.gateway.address}`,
    })
    expect(nox.answers()).toBe(before)
  })

  test('is answered while three nodes are there', async () => {
    const [one, two, three] = nox.cluster.nodes
    await Promise.all([one?.kill(), two?.kill()])
    await opens()
    await three?.kill()
    expect(await nox.ask(combiner.url, keysOf(value()))).toEqual({
      status: 500,
      error: 'Storage error: the cluster did not answer',
    })
    for (const node of [one, two, three]) await node?.start()
    await opens()
  }, 180_000)

  test('goes on over a refresh, with one public key and the combiner that was there before', async () => {
    await nox.propose('--refresh', KEY_NAME)
    await opens()
    const yaml = combinerYaml()
    expect(await nox.check(yaml)).toMatchObject({ requester: nox.identity })
  }, 180_000)

  test.skipIf(vectors === undefined)('gets for the vectors what they say', async () => {
    if (vectors === undefined) return
    const { ecies, delegateAuthorization } = vectors
    const { domain, message, signature, signer } = delegateAuthorization
    expect(domain.chainId).toBe(CHAIN)
    const pkcs8 = Buffer.from(
      bytes(readJson<{ testRsa: { pkcs8PrivateKey: string } }>('nox/handle-sdk.json').testRsa.pkcs8PrivateKey),
    )
    const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
    expect(`0x${spkiHex(privateKey)}`).toBe(message.targetPubKey)
    const chainOfVectors = await startNoxChain(CHAIN, { gateway: signer, kmsPublicKey: ecies.kmsPublicKey })
    try {
      const { url } = await nox.combiner({
        env: {
          ...NOX_ENVIRONMENT,
          NOX_KMS_CHAINS__31337__RPC_URL: chainOfVectors.url,
          TKMS_COMBINER_CHAINS_31337_KEY_NAME: VECTOR_KEY_NAME,
          TKMS_COMBINER_CLUSTER: nox.file('cluster.json'),
          TKMS_COMBINER_SIGNER_FILE: nox.file('combiner.pem'),
        },
      })
      const answer = await delegate(url, { chainId: CHAIN, keys: message, signature })
      expect(answer).toMatchObject({ status: 200, prover: WALLET_ADDRESS })
      const stored = { publicKey: ecies.ephemeralPubKey, nonce: ecies.iv, ciphertext: ecies.ciphertext } as StoredValue
      expect(openValue({ privateKey }, answer.encryptedSharedSecret, stored)).toBe(ecies.plaintext)
    } finally {
      await chainOfVectors.stop()
    }
  })
})

describe('what a combiner may not do', () => {
  /** With three refusals there is no quorum any more, and nobody else is waited for. */
  const REFUSED: unknown = expect.toSatisfy(
    (codes: readonly string[]) => codes.length >= 3 && codes.every((code) => code === 'not-allowed'),
  )
  const seed = (): Secret => new Secret(crypto.getRandomValues(new Uint8Array(32)))

  test('answer when the nodes do not list it', async () => {
    await nox.keygen('other.pem')
    const yaml = combinerYaml().replace('combiner.pem', 'other.pem')
    const other = await nox.combiner({ yaml })
    const before = nox.answers()
    expect(await nox.ask(other.url, keysOf(value()))).toEqual({
      status: 401,
      error: 'Unauthorized: the nodes of the cluster do not allow it',
    })
    expect(nox.answers()).toBe(before)
  })

  /** What a node says to whoever holds these keys and asks it with this evidence. */
  async function steal(
    signer: RequestSigner,
    authorization: NoxAuthorization | undefined,
    point: string,
  ): Promise<unknown> {
    const kms = await createNodeKmsClient({ cluster: await nox.cluster.file(), signer })
    try {
      const grant = authorization === undefined ? new Uint8Array(0) : encodeNoxAuthorization(authorization)
      const secret = await kms.delegate(hexToBytes(point.slice(2)), { key: KEY_NAME, chainId: CHAIN, grant })
      return secret.x.use(bytesToHex)
    } catch (error) {
      if (!(error instanceof QuorumError)) throw error
      return error.causes.filter(({ code }) => code !== 'not-needed').map(({ code }) => code)
    } finally {
      await kms.close()
    }
  }
  const signedBy = async (account: PrivateKeyAccount, keys: DelegateKeys): Promise<NoxAuthorization> => ({
    chainId: CHAIN,
    ...keys,
    signature: hexToBytes((await authorize(account, CHAIN, keys)).slice(2)),
  })

  test('ask for itself: its Ed25519 key without the signature of a gateway gets nothing from any node', async () => {
    const keys = keysOf(value())
    const before = nox.answers()
    expect(await steal(listed, undefined, keys.ephemeralPubKey)).toEqual(REFUSED)
    expect(await steal(listed, await signedBy(newAccount(), keys), keys.ephemeralPubKey)).toEqual(REFUSED)
    // What a gateway signed is about its own K, on its own chain.
    const captured = await signedBy(nox.gateway, keys)
    expect(await steal(listed, captured, value().publicKey)).toEqual(REFUSED)
    expect(await steal(listed, { ...captured, chainId: 1 }, keys.ephemeralPubKey)).toEqual(REFUSED)
    expect(nox.answers()).toBe(before)
    // What docs/nox.md says of a captured authorization: with the combiner's key it works, without it it does not.
    expect(await steal(listed, captured, keys.ephemeralPubKey)).toMatch(/^[0-9a-f]{64}$/)
    expect(await steal(createEd25519Signer(seed()), captured, keys.ephemeralPubKey)).toEqual(REFUSED)
  })

  test('be replayed: a node answers what it signed once', async () => {
    const keys = keysOf(value())
    const kms = await createNodeKmsClient({ cluster: await nox.cluster.file(), signer: listed })
    const grant = encodeNoxAuthorization(await signedBy(nox.gateway, keys))
    const stored = {
      handle: `0x${'00'.repeat(32)}`,
      public_key: keys.ephemeralPubKey,
      nonce: `0x${'00'.repeat(12)}`,
      ciphertext: `0x${'00'.repeat(17)}`,
    }
    const { authorization } = await kms.request(stored, { key: KEY_NAME, chainId: CHAIN, grant })
    await kms.close()
    const send = async (): Promise<number> => {
      const body = JSON.stringify(formatAuthorization(authorization))
      const headers = { 'content-type': 'application/json' }
      return (await fetch(`${nox.cluster.node(1).url}/v1/delegate`, { method: 'POST', headers, body })).status
    }
    expect([await send(), await send()]).toEqual([200, 409])
  })
})
