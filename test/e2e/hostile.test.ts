import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Authorization,
  bytesKey,
  type ClusterId,
  type ClusterNode,
  decodeRequest,
  type DelegationRequest,
  encodeRequest,
  formatAuthorization,
  type KeyId,
  nobleCurve,
  parseCluster,
  type RequestItem,
  type RequestItemV2,
  Secret,
  type SharingId,
} from '@tkms/dkg'
import { createEd25519Signer, type KmsClient, type RequestSigner, type Transport } from '@tkms/kms-client'
import { createNodeKmsClient, libp2p } from '@tkms/kms-client/node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { authorizeBytes, BAD_POINTS, spkiOfModulus, WEAK_RSA_KEYS, withPoint } from '../support/hostile-requests.ts'
import { createTestCluster, makeKey, type TestCluster } from '../support/node-cluster.ts'
import { vectorFolder } from '../support/vectors-folder.ts'

const KEY_NAME = 'ecies/hostile'
const MAX_REPLY_BYTES = 65_536

const newSigner = (): RequestSigner => createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
const signer = newSigner()
const plaintext = crypto.getRandomValues(new Uint8Array(100))
const random32 = (): Uint8Array => crypto.getRandomValues(new Uint8Array(32))

let cluster: TestCluster
let kms: KmsClient
let wire: Transport
let target: ClusterNode

beforeAll(async () => {
  cluster = await createTestCluster({ n: 3, t: 2, environment: { TKMS_LIMITS_REQUEST_BURST: '10000' } })
  await Promise.all(cluster.nodes.map((node) => node.start()))
  await makeKey(cluster.nodes, KEY_NAME)
  const file = await cluster.file()
  kms = await createNodeKmsClient({ cluster: file, signer })
  wire = libp2p()
  const [first] = parseCluster(file).nodes
  if (first === undefined) throw new Error('no node')
  target = first
}, 120_000)

afterAll(async () => {
  await kms.close()
  await wire.close()
  await cluster.dispose()
})

/** A request that a node would answer, with its one item of either version. */
async function honest(version: 1 | 2): Promise<{ payload: Uint8Array; request: DelegationRequest; item: RequestItem }> {
  const envelope = await kms.encrypt(
    plaintext,
    version === 1 ? { key: KEY_NAME, version } : { key: KEY_NAME, owners: [signer.publicKeyId] },
  )
  const { authorization } = await kms.request(envelope, version === 1 ? { key: KEY_NAME } : {})
  const request = decodeRequest(nobleCurve, authorization.payload)
  const [item] = request.items
  if (item === undefined) throw new Error('no item')
  return { payload: authorization.payload, request, item }
}

async function post(authorization: Authorization): Promise<{ status: number; code: string | undefined }> {
  const body = JSON.stringify(formatAuthorization(authorization))
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${target.url}/v1/delegate`, { method: 'POST', headers, body })
  const { error } = (await response.json()) as { error?: { code: string } }
  return { status: response.status, code: error?.code }
}

async function ask(authorization: Authorization): Promise<string> {
  const options = { signal: AbortSignal.timeout(10_000), maxReplyBytes: MAX_REPLY_BYTES }
  const reply = await wire.ask(target, authorization, options)
  return reply.kind === 'answer' ? 'answer' : reply.code
}

/** The same refusal on both transports, each with a request id of its own. */
async function refusals(make: () => Promise<Authorization>): Promise<{ status: number; codes: readonly unknown[] }> {
  const { status, code } = await post(await make())
  return { status, codes: [code, await ask(await make())] }
}

/** What the target's log says of a request: whether its share was used. */
const answers = (): number => cluster.node(1).log().split('"outcome":"answer"').length - 1

test('the honest request is answered, once, on both transports', async () => {
  const { payload } = await honest(2)
  expect(await post(await authorizeBytes(signer, payload))).toMatchObject({ status: 200 })
  expect(await ask(await authorizeBytes(signer, (await honest(2)).payload))).toBe('answer')
  expect(await post(await authorizeBytes(signer, payload))).toEqual({ status: 409, code: 'replayed' })
  // The log comes through a pipe: an answer of this test must not be counted for the next one.
  await expect.poll(answers).toBe(2)
})

describe.each([1, 2] as const)('K in a version %i item', (version) => {
  test.for(BAD_POINTS)('%s is refused before the share is used', async ([, change]) => {
    const before = answers()
    const { status, codes } = await refusals(async () => {
      const { payload, item } = await honest(version)
      return authorizeBytes(signer, withPoint(payload, item, change))
    })
    expect(status).toBe(400)
    // The K of a version 1 item has no length of its own: another one shifts the fields behind it. A header may just end too early.
    const { length } = change(nobleCurve.generator)
    const shifts = length === 0 || (version === 1 && length !== 33)
    for (const code of codes) expect(shifts ? ['bad-point', 'malformed'] : ['bad-point']).toContain(code)
    expect(answers()).toBe(before)
  })
})

describe('an RSA key', () => {
  const refused = async (spki: Uint8Array): Promise<void> => {
    const before = answers()
    const made = async (): Promise<Authorization> =>
      authorizeBytes(signer, encodeRequest({ ...(await honest(2)).request, spki }))
    expect(await refusals(made)).toEqual({ status: 400, codes: ['weak-rsa-key', 'weak-rsa-key'] })
    expect(answers()).toBe(before)
  }

  test.for(WEAK_RSA_KEYS)('with %s is refused', ([, spki]) => refused(spki()))

  test.skipIf(vectorFolder === undefined)('of a ROCA generator is refused (vectors: roca)', () =>
    refused(spkiOfModulus(readFileSync(join(vectorFolder ?? '', 'roca/mod09.txt'), 'utf8').trim())),
  )
})

type Change = (request: DelegationRequest, item: RequestItemV2) => DelegationRequest
const label = (change: Partial<RequestItemV2['header']['label']>): Change =>
  inItem((item) => ({
    ...item,
    header: { ...item.header, label: { ...item.header.label, ...change } },
  }))
const inItem =
  (change: (item: RequestItemV2) => RequestItemV2): Change =>
  (request, item) => ({ ...request, items: [change(item)] })
const flipped = (bytes: Uint8Array): Uint8Array => Uint8Array.from(bytes, (byte, at) => (at === 0 ? byte ^ 1 : byte))

/** Every field that the proof context rests on, changed by the requester itself, who signs the change. */
const SIGNED_CHANGES: readonly (readonly [string, string, Change])[] = [
  ['cluster', 'wrong-cluster', (request) => ({ ...request, clusterId: random32() as ClusterId })],
  [
    'key',
    'unknown-key',
    (request, item) => {
      const keyId = random32() as KeyId
      return { ...request, keyId, items: [{ ...item, header: { ...item.header, keyId } }] }
    },
  ],
  ['sharing', 'wrong-sharing', (request) => ({ ...request, sharingId: random32() as SharingId })],
  ['window, over', 'clock-skew', (request) => ({ ...request, notBefore: 1_000_000, expiresAt: 1_000_300 })],
  [
    'window, to come',
    'clock-skew',
    (request) => ({ ...request, notBefore: request.expiresAt + 900, expiresAt: request.expiresAt + 1_200 }),
  ],
  ['requester', 'malformed', (request) => ({ ...request, publicKeyId: newSigner().publicKeyId })],
  ['K', 'bad-header-proof', inItem((item) => ({ ...item, header: { ...item.header, K: nobleCurve.generator } }))],
  ['Kbar', 'bad-header-proof', inItem((item) => ({ ...item, header: { ...item.header, Kbar: nobleCurve.generator } }))],
  [
    'key commitment',
    'bad-header-proof',
    inItem((item) => ({ ...item, header: { ...item.header, keyCommitment: random32() } })),
  ],
  ['chain', 'bad-header-proof', label({ chainId: 5 })],
  ['handle', 'bad-header-proof', label({ handle: random32() })],
  ['ciphertext hash', 'bad-header-proof', inItem((item) => ({ ...item, ctHash: random32() }))],
  ['header proof', 'bad-header-proof', inItem((item) => ({ ...item, proof: flipped(item.proof) }))],
]

test.for(SIGNED_CHANGES)('%s changed and signed again: refused as %s', async ([, code, change]) => {
  const before = answers()
  const made = async (): Promise<Authorization> => {
    const { request, item } = await honest(2)
    if (item.version !== 2) throw new Error('a version 2 item was asked for')
    return authorizeBytes(signer, encodeRequest(change(request, item)))
  }
  expect((await refusals(made)).codes).toEqual([code, code])
  expect(answers()).toBe(before)
})

test('each byte of a signed request changed in transit: refused', async () => {
  const before = answers()
  const { payload } = await honest(2)
  const authorization = await authorizeBytes(signer, payload)
  const step = Math.ceil(payload.length / 64)
  for (let at = 0; at < payload.length; at += step) {
    const changed = Uint8Array.from(payload)
    changed[at] = (changed[at] ?? 0) ^ 1
    expect(await ask({ ...authorization, payload: changed })).not.toBe('answer')
  }
  for (const at of [0, 31, 32, 63])
    expect(
      await ask({
        ...authorization,
        signature: authorization.signature.map((byte, i) => (i === at ? byte ^ 1 : byte)),
      }),
    ).toBe('bad-signature')
  expect(answers()).toBe(before)
  expect(await ask(authorization)).toBe('answer')
})

test('another requester, and a request for somebody else’s envelope, are not allowed', async () => {
  const stranger = newSigner()
  const { request } = await honest(2)
  const bytes = encodeRequest({ ...request, publicKeyId: stranger.publicKeyId })
  expect((await refusals(() => authorizeBytes(stranger, bytes))).codes).toEqual(['not-allowed', 'not-allowed'])
  expect(bytesKey(request.keyId)).toBe(bytesKey(kms.keys[0]?.keyId ?? new Uint8Array(0)))
})

test('the log of the node has every answer, and none for a refusal', async () => {
  const before = answers()
  await cluster.node(1).stop()
  expect({ before, after: answers() }).toEqual({ before: 3, after: 3 })
})
