import { selectCurve } from '@tkms/curve-native'
import { Secret } from '@tkms/dkg'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createKmsClient } from '../client.ts'
import { pinnedHttp } from '../node/pinned-http.ts'
import { createEd25519Signer } from '../signer.ts'
import { createTestCluster, refusing, type TestCluster } from '../node/testing/test-cluster.ts'
import { delegateListener, startTestServer, type TestServer } from '../node/testing/test-http.ts'
import { createTestTls } from '../node/testing/test-tls.ts'
import { http } from './http.ts'

const curve = selectCurve().curve
const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
const plaintext = new TextEncoder().encode('over the wire')
let cluster: TestCluster
let servers: TestServer[] = []

beforeAll(() => {
  cluster = createTestCluster(curve)
})
afterEach(async () => {
  await Promise.all(servers.map((server) => server.close()))
  servers = []
})

const startAll = async (start: (index: number) => Promise<TestServer>): Promise<void> => {
  servers = await Promise.all([1, 2, 3, 4, 5].map(start))
}
const portOf = (index: number): number => servers[index - 1]?.port ?? 0

describe('http', () => {
  it('decrypts through nodes on loopback', async () => {
    await startAll((index) => startTestServer(delegateListener(cluster, index)))
    const file = cluster.file((index) => ({ url: `http://127.0.0.1:${portOf(index)}` }))
    const kms = await createKmsClient({ cluster: file, signer, curve, transport: http() })
    expect(await kms.decrypt(await kms.encrypt(plaintext))).toEqual(plaintext)
  })

  it('decrypts through nodes whose TLS keys the cluster file pins', async () => {
    const keys = [1, 2, 3, 4, 5].map(() => createTestTls())
    await startAll((index) => startTestServer(delegateListener(cluster, index), keys[index - 1]))
    const file = cluster.file((index) => ({
      url: `https://127.0.0.1:${portOf(index)}`,
      tlsSpkiSha256: `0x${Buffer.from(keys[index - 1]?.spkiSha256 ?? []).toString('hex')}`,
    }))
    const kms = await createKmsClient({ cluster: file, signer, curve, transport: pinnedHttp() })
    expect(await kms.decrypt(await kms.encrypt(plaintext))).toEqual(plaintext)
    await kms.close()
  })

  it('carries refusals with their code, and calls what is no answer a bad reply', async () => {
    const skewed = refusing({ code: 'clock-skew', skewSeconds: 120 })
    await startAll((index) =>
      startTestServer(
        index === 1
          ? delegateListener(cluster, index, skewed)
          : index === 2
            ? (_request, response) => response.writeHead(503).end('<html>')
            : (_request, response) => response.end(index === 3 ? '{}' : 'not json'),
      ),
    )
    const file = cluster.file((index) => ({ url: `http://127.0.0.1:${portOf(index)}` }))
    const kms = await createKmsClient({ cluster: file, signer, curve })
    const { authorization } = await kms.request(await kms.encrypt(plaintext))
    const signal = new AbortController().signal
    const replies = kms.cluster.nodes.map((node) =>
      http()
        .ask(node, authorization, { signal, maxReplyBytes: 1_000 })
        .catch((error: unknown) => error),
    )
    expect(await Promise.all(replies)).toMatchObject([
      { kind: 'refusal', code: 'clock-skew', skewSeconds: 120 },
      { kind: 'refusal', code: 'busy' },
      { code: 'bad-reply' },
      { code: 'bad-reply' },
      { code: 'bad-reply' },
    ])
  })

  it('shows the token of the client in every request, and refuses what is none', async () => {
    const shown: (string | undefined)[] = []
    await startAll((index) =>
      startTestServer((request, response) => {
        shown.push(request.headers.authorization)
        delegateListener(cluster, index)(request, response)
      }),
    )
    const file = cluster.file((index) => ({ url: `http://127.0.0.1:${portOf(index)}` }))
    const options = { cluster: file, signer, curve, token: 'api-token_1' }
    const envelope = await (await createKmsClient(options)).encrypt(plaintext)
    for (const transport of [http(), pinnedHttp()]) {
      const kms = await createKmsClient({ ...options, transport })
      expect(await kms.decrypt(envelope)).toEqual(plaintext)
      await kms.close()
      expect(new Set(shown.splice(0))).toEqual(new Set(['Bearer api-token_1']))
    }
    for (const token of ['', 'two words', 'x'.repeat(257), 'line\r\nfeed'])
      await expect(createKmsClient({ ...options, token })).rejects.toMatchObject({ code: 'bad-argument' })
  })

  it('fetches the cluster file and holds it against the pin', async () => {
    servers = [await startTestServer((_request, response) => response.end(JSON.stringify(cluster.file())))]
    const url = `http://127.0.0.1:${portOf(1)}/v1/cluster`
    const configHash = `0x${Buffer.from((await createKmsClient({ cluster: cluster.file() })).cluster.configHash).toString('hex')}`
    const kms = await createKmsClient({ cluster: { url, configHash }, curve })
    expect(kms.keys).toHaveLength(1)
    const wrong = { url, configHash: new Uint8Array(32) }
    await expect(createKmsClient({ cluster: wrong, curve })).rejects.toMatchObject({ code: 'pin-mismatch' })
  })
})
