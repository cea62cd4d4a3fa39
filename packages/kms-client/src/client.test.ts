import {
  type Answer,
  decodeWrongPartialEvidence,
  type KeyId,
  nobleCurve,
  type PartialContext,
  participantIndex,
  Secret,
  type SharingId,
  verifyEd25519,
  wrongPartialCulprit,
} from '@tkms/dkg'
import { selectCurve } from '@tkms/curve-native'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import type { KmsClientOptions } from './client-types.ts'
import { createKmsClient } from './client.ts'
import { QuorumError } from './errors.ts'
import { createRequesterKey, type RequesterKey } from './requester.ts'
import { createEd25519Signer } from './signer.ts'
import { createMemoryClient, type MemoryClient } from './node/testing/memory-client.ts'
import {
  type Conduct,
  createMemoryTransport,
  createTestCluster,
  type Misconduct,
  refusing,
  type TestCluster,
} from './node/testing/test-cluster.ts'
import { transportError } from './transport/exchange.ts'

const curve = selectCurve().curve
const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))

let cluster: TestCluster
let requesterKey: RequesterKey
beforeAll(async () => {
  cluster = createTestCluster(curve)
  requesterKey = await createRequesterKey()
})

const setUp = (
  conduct: Readonly<Record<number, Conduct>> = {},
  options: Partial<KmsClientOptions> = {},
): Promise<MemoryClient> => createMemoryClient(cluster, { signer, curve, requesterKey, conduct, ...options })

/** Every node does this, so the quorum fails with one cause per node that was asked. */
async function causesWhenAll(conduct: Conduct): Promise<readonly string[]> {
  const { kms } = await setUp({ 1: conduct, 2: conduct, 3: conduct, 4: conduct, 5: conduct }, { proofs: 'first' })
  const envelope = await kms.encrypt(text('x'), { owners: [signer.publicKeyId] })
  const error: unknown = await kms.decrypt(envelope).catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(QuorumError)
  return (error as QuorumError).causes.map((cause) => cause.code)
}

describe('encrypt and decrypt', () => {
  it.each([1, 2] as const)('opens a version %d envelope in every form', async (version) => {
    const { kms } = await setUp()
    const envelope = await kms.encrypt(
      text('attack at dawn'),
      version === 1 ? { version } : { owners: [signer.publicKeyId] },
    )
    const forms = [envelope, envelope.toBytes(), JSON.stringify(envelope), envelope.toJSON()]
    for (const form of forms) expect(await kms.decrypt(form)).toEqual(text('attack at dawn'))
  })

  it('opens with noble what was sealed with the native curve', async () => {
    const { kms } = await setUp()
    const portable = await setUp({}, { curve: nobleCurve })
    expect(await portable.kms.decrypt(await kms.encrypt(text('portable')))).toEqual(text('portable'))
  })

  it('asks t + 1 nodes and cancels the one it does not need', async () => {
    const { kms, transport } = await setUp()
    await kms.decrypt(await kms.encrypt(text('x')))
    expect(transport.asked).toHaveLength(4)
    expect(new Set(transport.aborted)).toEqual(new Set(transport.asked))
  })

  it('needs a signer to ask', async () => {
    const transport = createMemoryTransport(cluster)
    const kms = await createKmsClient({ cluster: cluster.file(), curve, transport })
    await expect(kms.decrypt(await kms.encrypt(text('x')))).rejects.toMatchObject({ code: 'no-signer' })
  })

  it('asks nobody about an envelope whose ciphertext was changed', async () => {
    const { kms, transport } = await setUp()
    const bytes = (await kms.encrypt(text('x'))).toBytes()
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
    await expect(kms.decrypt(bytes)).rejects.toMatchObject({ code: 'bad-envelope' })
    expect(transport.asked).toEqual([])
  })

  it('knows no key but those the cluster certifies', async () => {
    const { kms } = await setUp()
    await expect(kms.encrypt(text('x'), { key: 'ecies/other' })).rejects.toMatchObject({
      code: 'unknown-key',
      message: expect.stringContaining(`only of ${cluster.key.keyName}`) as unknown,
    })
  })

  it.each([
    ['an address with upper-case letters', [`eip712:0x${'aB'.repeat(20)}`], /lower case/],
    ['an address without its prefix', [`0x${'ab'.repeat(20)}`], /"eip712:0x<40 hex>"/],
    ['a session', [`session:${'ab'.repeat(32)}`], /publicKeyId of its signer/],
    ['one owner that is no list', `ed25519:${'ab'.repeat(32)}`, /a list/],
  ])('tells how an owner is written when it is given %s', async (_, owners, message) => {
    const { kms } = await setUp()
    await expect(kms.encrypt(text('x'), { owners: owners as readonly string[] })).rejects.toMatchObject({
      code: 'bad-argument',
      message: expect.stringMatching(message) as unknown,
    })
  })

  it('encrypts bytes, and tells who gives it text', async () => {
    const { kms } = await setUp()
    await expect(kms.encrypt('x' as unknown as Uint8Array)).rejects.toMatchObject({
      code: 'bad-argument',
      message: expect.stringContaining('TextEncoder') as unknown,
    })
  })

  it('refuses a cluster file that is not the pinned one', async () => {
    const pin = new Uint8Array(32)
    await expect(createKmsClient({ cluster: cluster.file(), configHash: pin })).rejects.toMatchObject({
      code: 'pin-mismatch',
    })
  })
})

describe('delegate', () => {
  it('gives the shared secret of a point', async () => {
    const { kms } = await setUp()
    const k = new Secret(new Uint8Array(32).fill(7))
    const secret = await kms.delegate(curve.mulBaseSecret(k))
    const expected = curve.mulSecret(cluster.key.groupKey, k)
    expect(secret.point.use((bytes) => bytes.slice())).toEqual(expected)
    expect(secret.x.use((bytes) => bytes.slice())).toEqual(expected.slice(1))
  })

  it('refuses bytes that are no point', async () => {
    const { kms } = await setUp()
    await expect(kms.delegate(new Uint8Array(33))).rejects.toMatchObject({ code: 'bad-point' })
  })
})

describe('lying nodes', () => {
  const wrongShare: Misconduct = { share: new Secret(new Uint8Array(32).fill(9)) }

  it('rows 35 and 44: names a node with a wrong share, keeps the evidence, and returns the right plaintext', async () => {
    const { kms, failures } = await setUp({ 1: wrongShare, 2: wrongShare })
    while (new Set(failures.map((failure) => failure.index)).size < 2)
      expect(await kms.decrypt(await kms.encrypt(text('truth')))).toEqual(text('truth'))
    const named = new Set(failures.map((failure) => `${failure.name} ${failure.code}`))
    expect(named).toEqual(new Set(['alice bad-partial', 'bob bad-partial']))
    for (const { index, evidence = new Uint8Array() } of failures) {
      expect(wrongPartialCulprit(curve, verifyEd25519, evidence, { configHash: kms.cluster.configHash })).toBe(index)
      expect(decodeWrongPartialEvidence(evidence)).toMatchObject({ certificates: [cluster.key.certificate] })
    }
  })

  it('asks a node that lied last from then on', async () => {
    const { kms, transport, failures } = await setUp({ 3: wrongShare })
    while (failures.length === 0) await kms.decrypt(await kms.encrypt(text('x')))
    transport.asked.length = 0
    await kms.decrypt(await kms.encrypt(text('x')))
    expect(transport.asked).not.toContain(3)
  })

  it('row 44: gets the right result with any n - t liars, and blames nobody honest', async () => {
    const liars: Readonly<Record<string, Misconduct>> = {
      share: wrongShare,
      index: { content: (content) => ({ ...content, index: participantIndex(9) }) },
      proof: { content: (content) => ({ ...content, proof: new Uint8Array(64) }) },
      signature: { answer: (answer) => ({ ...answer, signature: new Uint8Array(64) }) },
      box: { answer: (answer) => ({ ...answer, box: new Uint8Array(256) }) },
    }
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray([1, 2, 3, 4, 5], { minLength: 1, maxLength: 2 }),
        fc.constantFrom(...Object.values(liars)),
        async (lying, misconduct) => {
          const { kms, failures } = await setUp(Object.fromEntries(lying.map((index) => [index, misconduct])))
          expect(await kms.decrypt(await kms.encrypt(text('truth')))).toEqual(text('truth'))
          for (const failure of failures) expect(lying).toContain(failure.index)
        },
      ),
      { numRuns: 12 },
    )
  })

  const zero = new Uint8Array(32)
  const changes: readonly [string, (context: PartialContext) => PartialContext][] = [
    ['purpose', (context) => ({ ...context, purpose: 'ckd-dprf' })],
    ['keyId', (context) => ({ ...context, keyId: zero as KeyId })],
    ['epoch', (context) => ({ ...context, epoch: 1 })],
    ['sharingId', (context) => ({ ...context, sharingId: zero as SharingId })],
    ['index', (context) => ({ ...context, index: participantIndex(6) })],
    ['requestId', (context) => ({ ...context, requestId: zero })],
    ['requestHash', (context) => ({ ...context, requestHash: zero })],
  ]

  it.each(changes)(
    'row 36: refuses a signature over another %s, and a proof for it under a good signature',
    async (_, change) => {
      expect(await causesWhenAll({ context: change })).toContain('bad-node-signature')
      expect(await causesWhenAll({ proofContext: change })).toContain('bad-partial')
    },
  )

  it.each<[string, Partial<Answer>]>([
    ['index', { index: participantIndex(6) }],
    ['sharingId', { sharingId: zero as SharingId }],
    ['requestId', { requestId: zero }],
  ])('row 36: refuses an answer with another %s', async (_, changed) => {
    expect(await causesWhenAll({ answer: (answer) => ({ ...answer, ...changed }) })).toContain('bad-reply')
  })
})

describe('nodes that do not answer', () => {
  it('says of each node why there is no quorum', async () => {
    const { kms } = await setUp({
      1: refusing({ code: 'not-allowed' }),
      2: refusing({ code: 'clock-skew', skewSeconds: -90 }),
      3: transportError('unreachable', 'cannot be dialled'),
    })
    const error: unknown = await kms.decrypt(await kms.encrypt(text('x'))).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(QuorumError)
    const { needed, causes } = error as QuorumError
    expect(needed).toBe(3)
    const byIndex = new Map(causes.map((cause) => [cause.index as number, cause]))
    expect(byIndex.get(1)?.code).toBe('not-allowed')
    expect(byIndex.get(2)).toMatchObject({ code: 'clock-skew', skewSeconds: -90, name: 'bob' })
    expect(byIndex.get(2)?.detail).toContain('90 s behind')
    expect(byIndex.get(3)?.code).toBe('unreachable')
  })

  it('asks a node again under a new id that somebody has passed the request on to', async () => {
    const conduct: Conduct = 'replayed-once'
    const { kms, failures } = await setUp({ 1: 'silent', 2: 'silent', 3: conduct, 4: conduct, 5: conduct })
    const envelope = await kms.encrypt(text('x'), { owners: [signer.publicKeyId] })
    expect(await kms.decrypt(envelope)).toEqual(text('x'))
    expect(failures).toEqual([])
  })

  it('row 44: replaces silent nodes, which cannot hold a call up', async () => {
    const { kms, failures } = await setUp({ 1: 'silent', 4: 'silent' }, { limits: { nodeTimeoutMs: 1_500 } })
    expect(await kms.decrypt(await kms.encrypt(text('x')))).toEqual(text('x'))
    for (const failure of failures) expect(failure.code).toBe('timed-out')
  })

  it('ends at the deadline when too many nodes are silent', async () => {
    const silent = Object.fromEntries([1, 2, 3].map((index) => [index, 'silent' as const]))
    const { kms, transport } = await setUp(silent, { limits: { nodeTimeoutMs: 60_000, totalTimeoutMs: 300 } })
    const error: unknown = await kms.decrypt(await kms.encrypt(text('x'))).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'quorum-not-reached', needed: 3, retryable: true })
    expect(new Set(transport.aborted)).toEqual(new Set(transport.asked))
  })

  it('is cancelled by its signal, with every call under way', async () => {
    const silent = Object.fromEntries([1, 2, 3, 4, 5].map((index) => [index, 'silent' as const]))
    const controller = new AbortController()
    const transport = createMemoryTransport(cluster, silent, (asked) => {
      if (asked.length === 4) controller.abort()
    })
    const { kms } = await setUp({}, { transport })
    const call = kms.decrypt(await kms.encrypt(text('x')), { signal: controller.signal })
    await expect(call).rejects.toMatchObject({ code: 'cancelled' })
    expect(transport.aborted).toHaveLength(4)
  })
})
