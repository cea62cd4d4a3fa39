import { EVIDENCE_SESSION } from '@tkms/dkg'
import { expect, it } from 'vitest'
import { type DecisionInput, type RuleVerdict, YES } from '../policy/decision.ts'
import { createPolicy } from '../policy/policy.ts'
import { alice, authorize, bytes32, createTestPipeline, requestOf } from './pipeline.fixture.ts'

it('tells the rules who asks, from where, with which token and evidence, and for how long it matters', async () => {
  const seen: DecisionInput[] = []
  const decide = (input: DecisionInput): RuleVerdict => {
    seen.push(input)
    return YES
  }
  const policy = createPolicy({
    entryOf: () => ({ envelopes: 2, tree: { kind: 'rule', rule: { name: 'test', decide } } }),
  })
  const { pipeline } = createTestPipeline({ policy })
  const quote = { kind: 7, bytes: Uint8Array.of(1, 2) }
  const evidence = [quote, { kind: EVIDENCE_SESSION, bytes: Uint8Array.of(3) }]
  const { signal } = new AbortController()
  const call = { remote: 'test', address: '192.0.2.1', tokenHash: bytes32(5), signal }
  await pipeline.handle(authorize(requestOf({ evidence })), call)
  expect(seen).toMatchObject([
    {
      requesterId: alice.id,
      principal: { kind: 'ed25519', key: alice.publicKey },
      remote: '192.0.2.1',
      tokenHash: bytes32(5),
      evidence: [quote],
      dryRun: false,
    },
  ])
  expect(seen[0]?.evidence).toHaveLength(1)
  expect(seen[0]?.signal).toBe(signal)
})
