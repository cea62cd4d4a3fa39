import { expect, it } from 'vitest'
import type { DecisionInput } from '../policy/decision.ts'
import { alice, authorize, createTestPipeline, itemFor, policyOf, requestOf } from './pipeline.fixture.ts'
import type { DelegationCall, PipelineOptions } from './pipeline.ts'

const callFrom = (address: string): DelegationCall => ({
  remote: 'test',
  address,
  signal: new AbortController().signal,
})

it('lets one address hold a part of the slots only', async () => {
  const open: (() => void)[] = []
  const policy: PipelineOptions['policy'] = {
    ...policyOf({ rule: 'owner' }),
    decide: async (_key, input) => {
      if (input.remote === '6.6.6.6') await new Promise<void>((resolve) => open.push(resolve))
      return { allowed: true, rules: [] }
    },
  }
  const limits = { maxRequestsInFlight: 4, maxRequestsQueued: 8, rsaKeyCacheEntries: 16 }
  const { pipeline } = createTestPipeline({ limits, policy })
  const greedy = Array.from({ length: 5 }, () => pipeline.handle(authorize(requestOf()), callFrom('6.6.6.6')))
  expect(await pipeline.handle(authorize(requestOf()), callFrom('10.0.0.1'))).toMatchObject({ kind: 'answer' })
  const refused = greedy.splice(3)
  expect(await Promise.all(refused)).toMatchObject([{ code: 'busy' }, { code: 'busy' }])
  while (pipeline.underWay > 0) {
    open.shift()?.()
    await new Promise(setImmediate)
  }
  expect((await Promise.all(greedy)).map(({ kind }) => kind)).toEqual(['answer', 'answer', 'answer'])
})

it('asks no rule about a label that nothing proves', async () => {
  const asked: DecisionInput[] = []
  const policy: PipelineOptions['policy'] = {
    edition: 0,
    decide: async (_key, input) => {
      asked.push(input)
      return { allowed: true, rules: [] }
    },
    explain: async (_key, input) => {
      asked.push(input)
      return { decision: { allowed: true, rules: [] } }
    },
  }
  const { pipeline, dryRun } = createTestPipeline({ policy })
  const forged = { ...itemFor(alice), proof: new Uint8Array(64).fill(1) }
  const authorization = authorize(requestOf({ items: [forged, forged] }))
  const call = callFrom('10.0.0.1')
  expect(await pipeline.handle(authorization, call)).toMatchObject({ code: 'bad-header-proof' })
  expect(await dryRun.explain(authorization, call)).toMatchObject({
    report: { allowed: false, items: [{ code: 'bad-header-proof' }, { headerProof: 'invalid' }] },
  })
  expect(asked).toHaveLength(0)
})
