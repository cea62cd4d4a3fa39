import { Secret } from '@tkms/dkg'
import { selectCurve } from '@tkms/curve-native'
import { describe, expect, it } from 'vitest'
import type { KmsClient } from './client-types.ts'
import { createKmsClient } from './client.ts'
import { createEd25519Signer } from './signer.ts'
import { createMemoryTransport, createTestCluster } from './node/testing/test-cluster.ts'

const curve = selectCurve().curve
const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
const cluster = createTestCluster(curve)

const open = (): Promise<KmsClient> =>
  createKmsClient({ cluster: cluster.file(), signer, transport: createMemoryTransport(cluster), curve })

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
