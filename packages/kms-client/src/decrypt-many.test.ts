import { decodeRequest, Secret, verifyEd25519, wrongPartialCulprit } from '@tkms/dkg'
import { selectCurve } from '@tkms/curve-native'
import { describe, expect, it } from 'vitest'
import type { KmsClient } from './client-types.ts'
import type { DecryptOutcome } from './decrypt-many.ts'
import type { SealedEnvelope } from './sealed-envelope.ts'
import { createEd25519Signer } from './signer.ts'
import { createMemoryClient, type MemoryClient } from './node/testing/memory-client.ts'
import { type Conduct, createMemoryTransport, createTestCluster, refusing } from './node/testing/test-cluster.ts'
import type { Transport } from './transport/types.ts'

const curve = selectCurve().curve
const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
const cluster = createTestCluster(curve)
const busy = refusing({ code: 'busy' })

/** With the items of each request sent. */
async function setUp(
  conduct: Readonly<Record<number, Conduct>> = {},
): Promise<MemoryClient & { readonly sizes: readonly number[] }> {
  const memory = createMemoryTransport(cluster, conduct)
  const sizes: number[] = []
  const transport: Transport = {
    ask(node, authorization, call) {
      sizes.push(decodeRequest(curve, authorization.payload).items.length)
      return memory.ask(node, authorization, call)
    },
    close: () => memory.close(),
  }
  return { ...(await createMemoryClient(cluster, { signer, curve, transport })), sizes }
}

const open = async (): Promise<KmsClient> => (await setUp()).kms

const texts = (count: number): string[] => Array.from({ length: count }, (_, at) => `text ${at}`)
const sealed = (kms: KmsClient, values: readonly string[]): Promise<SealedEnvelope[]> =>
  Promise.all(values.map((value) => kms.encrypt(text(value))))

async function outcomesOf(outcomes: AsyncIterable<DecryptOutcome>): Promise<string[]> {
  const read = new Map<number, string>()
  for await (const outcome of outcomes)
    read.set(outcome.position, outcome.ok ? new TextDecoder().decode(outcome.plaintext) : outcome.error.code)
  return [...read].toSorted(([left], [right]) => left - right).map(([, value]) => value)
}

describe('decryptMany', () => {
  it('opens many, and reports a bad one as its own failure', async () => {
    const kms = await open()
    const good = await Promise.all(['a', 'b', 'c'].map((value) => kms.encrypt(text(value))))
    const outcomes = new Map<number, string>()
    for await (const outcome of kms.decryptMany([...good.slice(0, 2), '{}', ...good.slice(2)], { concurrency: 2 }))
      outcomes.set(outcome.position, outcome.ok ? new TextDecoder().decode(outcome.plaintext) : outcome.error.code)
    expect(outcomes).toEqual(
      new Map([
        [0, 'a'],
        [1, 'b'],
        [2, 'bad-envelope'],
        [3, 'c'],
      ]),
    )
  })

  it('asks for what is there together in shared requests, at least two under way', async () => {
    const { kms, sizes } = await setUp()
    const values = texts(10)
    expect(await outcomesOf(kms.decryptMany(await sealed(kms, values), { concurrency: 8 }))).toEqual(values)
    expect(Math.max(...sizes)).toBe(4)
    expect(sizes.length).toBeLessThanOrEqual(4 * 4)
  })

  it('shares no request between versions, whose proofs are verified at different times', async () => {
    const { kms, sizes } = await setUp()
    const old = await Promise.all(texts(2).map((value) => kms.encrypt(text(value), { version: 1 })))
    const values = texts(2)
    const envelopes = [...old, ...(await sealed(kms, values))]
    expect(await outcomesOf(kms.decryptMany(envelopes, { concurrency: 16 }))).toEqual([...values, ...values])
    expect(new Set(sizes)).toEqual(new Set([2]))
  })

  it('names a node that lies about one item, and opens all of them', async () => {
    const wrong = curve.generator
    const lie: Conduct = { item: (item, at) => (at === 2 && item.kind === 'partial' ? { ...item, D: wrong } : item) }
    const { kms, failures } = await setUp({ 1: lie, 2: lie })
    const values = texts(4)
    const envelopes = await sealed(kms, values)
    while (new Set(failures.map(({ index }) => index)).size < 2)
      expect(await outcomesOf(kms.decryptMany(envelopes, { concurrency: 8 }))).toEqual(values)
    for (const { index, code, evidence = new Uint8Array() } of failures) {
      expect({ index, code }).toEqual({ index: expect.toBeOneOf([1, 2]) as unknown, code: 'bad-partial' })
      expect(wrongPartialCulprit(curve, verifyEd25519, evidence, { configHash: kms.cluster.configHash })).toBe(index)
    }
  })

  it('asks alone for an item that too few of the nodes asked together allow', async () => {
    const denied: Conduct = { item: (item, at) => (at === 1 ? { kind: 'refusal', code: 'not-allowed' } : item) }
    const { kms, sizes, failures } = await setUp({ 1: denied, 2: denied, 3: denied })
    const values = texts(3)
    expect(await outcomesOf(kms.decryptMany(await sealed(kms, values), { concurrency: 6 }))).toEqual(values)
    expect(sizes).toContain(3)
    expect(sizes).toContain(1)
    expect(failures).toEqual([])
  })

  it('asks once more together, without the node that refuses all of them, and asks that node later from then on', async () => {
    const refusal: Conduct = { item: () => ({ kind: 'refusal', code: 'not-allowed' }) }
    const { kms, sizes, failures } = await setUp({ 1: refusal })
    const values = texts(8)
    const envelopes = await sealed(kms, values)
    for (let round = 0; round < 6; round++)
      expect(await outcomesOf(kms.decryptMany(envelopes, { concurrency: 16 }))).toEqual(values)
    expect(new Set(sizes)).toEqual(new Set([8]))
    // Four nodes are asked each time; once, where the one that refuses was among the first three, they were asked again.
    expect(sizes.length).toBeLessThanOrEqual(4 * 7)
    expect(failures).toEqual([])
  })

  it('gives each item of a request that nobody answers the causes', async () => {
    const { kms } = await setUp({ 1: busy, 2: busy, 3: busy, 4: busy, 5: busy })
    const envelopes = await sealed(kms, texts(3))
    expect(await outcomesOf(kms.decryptMany(envelopes, { concurrency: 6 }))).toEqual(
      envelopes.map(() => 'quorum-not-reached'),
    )
  })

  it('reads its input no faster than outcomes are taken', async () => {
    const kms = await open()
    const envelope = await kms.encrypt(text('x'))
    let read = 0
    function* endless(): Generator<typeof envelope> {
      for (;;) {
        read += 1
        yield envelope
      }
    }
    for await (const outcome of kms.decryptMany(endless(), { concurrency: 3 })) {
      expect(outcome.ok).toBe(true)
      break
    }
    expect(read).toBe(3)
  })

  it('gives an outcome while its input has not decided what comes next, and leaves it so', async () => {
    const kms = await open()
    const envelope = await kms.encrypt(text('x'))
    async function* waitsForItsReader(): AsyncGenerator<typeof envelope> {
      yield envelope
      await new Promise<never>(() => undefined)
    }
    const positions: number[] = []
    for await (const { position } of kms.decryptMany(waitsForItsReader(), { concurrency: 2 })) {
      positions.push(position)
      break
    }
    expect(positions).toEqual([0])
  })

  it('is cancelled while its input has not decided what comes next', async () => {
    const kms = await open()
    const controller = new AbortController()
    async function* never(): AsyncGenerator<Uint8Array> {
      controller.abort()
      yield await new Promise<never>(() => undefined)
    }
    const outcomes = kms.decryptMany(never(), { concurrency: 2, signal: controller.signal })
    await expect(outcomes.next()).rejects.toMatchObject({ code: 'cancelled' })
  })

  it('ends with what its input throws', async () => {
    const kms = await open()
    const bug = new TypeError('a bug of the input')
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield text('not an envelope')
      throw bug
    }
    const positions: number[] = []
    const read = async (): Promise<void> => {
      for await (const { position } of kms.decryptMany(failing(), { concurrency: 1 })) positions.push(position)
    }
    await expect(read()).rejects.toBe(bug)
    expect(positions).toEqual([0])
  })
})
