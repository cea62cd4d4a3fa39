import { type Authorization, formatAuthorization, Secret } from '@tkms/dkg'
import { createEd25519Signer, type KmsClient } from '@tkms/kms-client'
import { createNodeKmsClient } from '@tkms/kms-client/node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Contract,
  contractOf,
  jsonOf,
  type OpenApiDocument,
} from '../../packages/kms-node/src/http/contract.fixture.ts'
import type { OperationId } from '../../packages/kms-node/src/http/operations.ts'
import { createTestCluster, makeKey, type TestCluster } from '../support/node-cluster.ts'

const KEY = 'ecies/documented'

let cluster: TestCluster
let kms: KmsClient
let contract: Contract
let served: unknown
const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))

beforeAll(async () => {
  cluster = await createTestCluster({ n: 3, t: 2 })
  await Promise.all(cluster.nodes.map((node) => node.start()))
  await makeKey(cluster.nodes, KEY)
  kms = await createNodeKmsClient({ cluster: await cluster.file(), signer })
  served = await (await fetch(`${cluster.node(1).url}/openapi.json`)).json()
  contract = contractOf(served as OpenApiDocument)
}, 120_000)

afterAll(async () => {
  await kms.close()
  await cluster.dispose()
})

async function call(
  id: OperationId,
  init: RequestInit = {},
  query = '',
): Promise<{ status: number; problems: readonly string[] }> {
  const { method = '', path = '' } = contract.operations.get(id) ?? {}
  const keyId = Buffer.from(kms.keys[0]?.keyId ?? []).toString('hex')
  const url = `${cluster.node(1).url}${path.replace('{keyId}', keyId)}${query}`
  const response = await fetch(url, { method: method.toUpperCase(), ...init })
  const answered: unknown = JSON.parse(await jsonOf(response))
  return { status: response.status, problems: contract.problems(id, response.status, answered) }
}

const body = (authorization: Authorization): RequestInit => ({
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(formatAuthorization(authorization)),
})

test('a node with a key answers as the document says that it serves', async () => {
  const well = { status: 200, problems: [] }
  const others = new Set<OperationId>(['delegate', 'attestation'])
  for (const id of contract.operations.keys()) if (!others.has(id)) expect([id, await call(id)]).toEqual([id, well])
  const noQuote = await call('attestation', {}, `?nonce=0x${'0f'.repeat(32)}`)
  expect(noQuote).toEqual({ status: 503, problems: [] })
  const plaintext = new Uint8Array(8)
  const allowed = await kms.request(await kms.encrypt(plaintext, { key: KEY, owners: [signer.publicKeyId] }))
  expect(await call('delegate', body(allowed.authorization))).toEqual(well)
  expect(await call('delegate', body(allowed.authorization))).toEqual({ status: 409, problems: [] })
  const forbidden = await kms.request(await kms.encrypt(plaintext, { key: KEY }))
  expect(await call('delegate', body(forbidden.authorization))).toEqual({ status: 403, problems: [] })
})

test('the command prints the same document', async () => {
  const [printed] = await cluster.run(['openapi'])
  expect(printed).toEqual(served)
})
