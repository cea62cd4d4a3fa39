import { type EnvelopeV2, sealEnvelopeV2, Secret } from '@tkms/dkg'
import { selectCurve } from '@tkms/curve-native'
import { describe, expect, it } from 'vitest'
import type { NodeAnswer } from './ask-nodes.ts'
import type { KmsClientOptions } from './client-types.ts'
import { createMemoryClient, type MemoryClient } from './node/testing/memory-client.ts'
import { type Conduct, createTestCluster, type Misconduct } from './node/testing/test-cluster.ts'
import { SealedEnvelope } from './sealed-envelope.ts'
import { createEd25519Signer } from './signer.ts'

const curve = selectCurve().curve
const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
const cluster = createTestCluster(curve)
const wrongShare: Misconduct = { share: new Secret(new Uint8Array(32).fill(9)) }

const setUp = (
  conduct: Readonly<Record<number, Conduct>> = {},
  options: Partial<KmsClientOptions> = {},
): Promise<MemoryClient> => createMemoryClient(cluster, { signer, curve, conduct, ...options })

/** Sealed to another group key under the id of ours: its header proof holds, but no point opens it. */
function malformed(): EnvelopeV2 {
  const k = Secret.copyOf(new Uint8Array(32).fill(3))
  const aux = new Uint8Array(32)
  const about = { chainId: 0, handle: new Uint8Array(32), policy: new Uint8Array(0) }
  const key = { ...cluster.key, groupKey: curve.generator }
  return sealEnvelopeV2(curve, { key, plaintext: text('x'), ...about, k, aux })
}

describe('proofs', () => {
  it.each(['first', 'on-failure'] as const)(
    'with proofs %s, finds a wrong proof of a right point only where it looks',
    async (proofs) => {
      const checked = new Set<string>()
      const wrongProof: Misconduct = { content: (content) => ({ ...content, proof: new Uint8Array(64) }) }
      const options = { proofs, onNodeAnswer: (answer: NodeAnswer) => checked.add(answer.checked) }
      const { kms, failures } = await setUp({ 1: wrongProof, 2: wrongProof }, options)
      for (const value of ['a', 'b', 'c', 'd', 'e']) {
        const envelope = await kms.encrypt(text(value))
        expect(await kms.decrypt(envelope)).toEqual(text(value))
      }
      expect(checked).toEqual(new Set([proofs === 'first' ? 'proofs' : 'signature']))
      expect(failures.length > 0).toBe(proofs === 'first')
    },
  )

  it('verifies proofs first where nothing commits to the point', async () => {
    const { kms, failures } = await setUp({ 1: wrongShare, 2: wrongShare }, { proofs: 'on-failure' })
    while (failures.length === 0) {
      const envelope = await kms.encrypt(text('old'), { version: 1 })
      expect(await kms.decrypt(envelope)).toEqual(text('old'))
    }
    expect(failures[0]).toMatchObject({ code: 'bad-partial' })
  })

  it('stops at an envelope that does not open although all proofs hold, and names nobody', async () => {
    const { kms, failures, transport } = await setUp()
    await expect(kms.decrypt(new SealedEnvelope(malformed()).toBytes())).rejects.toMatchObject({ code: 'bad-envelope' })
    expect(failures).toEqual([])
    expect(transport.asked).toHaveLength(4)
  })
})
