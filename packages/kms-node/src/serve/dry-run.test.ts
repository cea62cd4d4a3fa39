import { sha256 } from '@noble/hashes/sha2.js'
import { generateKeyPairSync } from 'node:crypto'
import { bytesKey, KmsError } from '@tkms/dkg'
import { describe, expect, it, vi } from 'vitest'
import { memoryLedger } from '../audit/ledger.fixture.ts'
import type { ChainReader } from '../chain/chain-reader.ts'
import {
  alice,
  authorize,
  clock,
  createSigner,
  createTestPipeline,
  grantedItem,
  issuer,
  itemFor,
  keyId,
  policyOf,
  requestOf,
} from './pipeline.fixture.ts'
import type { Policy } from '../policy/policy.ts'
import type { RuleCall } from './rule-inputs.ts'

const call = (changes: Partial<RuleCall> = {}): RuleCall => ({
  address: '192.0.2.1',
  signal: new AbortController().signal,
  ...changes,
})
const token = { rule: 'token', sha256: [Buffer.from(sha256(Buffer.from('t'))).toString('hex')] }
const owner = { rule: 'owner' }
const grant = { rule: 'grant', issuers: [issuer.id] }

describe('dry run', () => {
  it('is there for the operator while those who ask over the network take every place of an address', async () => {
    const never = Promise.withResolvers<never>()
    const decision = { allowed: false, refusals: [] } as const
    const answers = [never.promise]
    const explain: Policy['explain'] = () => answers.shift() ?? Promise.resolve({ decision })
    const { dryRun } = createTestPipeline({ policy: { edition: 0, decide: () => never.promise, explain } })
    const stop = new AbortController()
    const asked = Array.from({ length: 18 }, () =>
      dryRun.explain(authorize(requestOf()), call({ signal: stop.signal })),
    )
    expect(await Promise.race(asked)).toEqual({ kind: 'refusal', code: 'busy' })
    expect(await dryRun.explainToOperator(authorize(requestOf()), call())).toMatchObject({ kind: 'report' })
    stop.abort()
  })

  it('says what every rule says of every item, also where a decision is settled before', async () => {
    const policy = policyOf({ any: [owner, { all: [token, grant] }] })
    const { dryRun } = createTestPipeline({ policy })
    const items = [itemFor(alice), itemFor(createSigner()), grantedItem()]
    const authorization = authorize(requestOf({ items }))
    expect(await dryRun.explain(authorization, call({ tokenHash: sha256(Buffer.from('t')) }))).toEqual({
      kind: 'report',
      report: {
        keyName: 'ecies/1',
        requester: alice.id,
        allowed: false,
        rsaKey: 'accepted',
        items: [
          {
            allowed: true,
            headerProof: 'valid',
            rules: {
              says: 'yes',
              any: [
                { rule: 'owner', says: 'yes' },
                {
                  says: 'no',
                  all: [
                    { rule: 'token', says: 'yes' },
                    { rule: 'grant', says: 'no', reason: 'no-grant' },
                  ],
                },
              ],
            },
          },
          {
            allowed: false,
            code: 'not-allowed',
            headerProof: 'valid',
            rules: {
              says: 'no',
              any: [
                { rule: 'owner', says: 'no', reason: 'not-named' },
                {
                  says: 'no',
                  all: [
                    { rule: 'token', says: 'yes' },
                    { rule: 'grant', says: 'no', reason: 'no-grant' },
                  ],
                },
              ],
            },
          },
          {
            allowed: false,
            code: 'not-allowed',
            rules: { rule: 'policy', says: 'no', reason: 'other-envelope-version' },
          },
        ],
      },
    })
  })

  it('borrows no share, counts nothing and leaves the request to be asked once', async () => {
    const policy = policyOf({ all: [owner, { rule: 'quota', requester: [{ items: 1, seconds: 60 }] }] })
    const { dryRun, pipeline, lender, events } = createTestPipeline({ policy })
    const authorization = authorize(requestOf())
    for (let n = 0; n < 3; n++)
      expect(await dryRun.explain(authorization, call())).toMatchObject({ report: { allowed: true } })
    expect([lender.loans, lender.uses, events.length]).toEqual([0, 0, 0])
    expect(await pipeline.handle(authorization, { ...call(), remote: 'test' })).toMatchObject({ kind: 'answer' })
    expect(await dryRun.explain(authorization, call())).toMatchObject({ report: { items: [{ code: 'not-allowed' }] } })
  })

  it('is told to the log under a name of its own, also where it is refused, and never to the audit log', async () => {
    const ledger = memoryLedger(clock)
    const written = vi.spyOn(ledger, 'refused')
    const { dryRun, explained, events } = createTestPipeline({ ledger })
    const request = requestOf({ items: [itemFor(alice), itemFor(createSigner())] })
    await dryRun.explain(authorize(request), call())
    await dryRun.explainToOperator(authorize(requestOf()), call({ address: '203.0.113.7' }))
    await dryRun.explain(authorize(requestOf({ expiresAt: 2, notBefore: 1 })), call())
    const known = { keyId: bytesKey(keyId), requester: alice.id, durationMs: 0 }
    expect(explained).toMatchObject([
      { remote: '192.0.2.1', asked: 'by-caller', outcome: 'not-allowed', items: 2, allowed: 1, ...known },
      { remote: '203.0.113.7', asked: 'by-operator', outcome: 'allowed', items: 1, allowed: 1, ...known },
      { remote: '192.0.2.1', asked: 'by-caller', outcome: 'clock-skew' },
    ])
    expect([explained[0]?.requestId, events.length, written.mock.calls.length, ledger.tail().count]).toEqual([
      bytesKey(request.requestId),
      0,
      0,
      0,
    ])
  })

  it('says the code the request would be refused with, as the pipeline does', async () => {
    const away: ChainReader = {
      has: () => true,
      call: () => Promise.reject(new KmsError('chain-unavailable', 'away')),
    }
    const onchain = {
      rule: 'onchain',
      chain: 1,
      contract: `0x${'c0'.repeat(20)}`,
      view: 'open(bytes32)',
      args: ['keyId'],
    }
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'der', type: 'spki' })
    const forged = { ...itemFor(alice), proof: new Uint8Array(64) }
    const cases = [
      [{}, requestOf({ items: [itemFor(createSigner())] }), 'not-allowed'],
      [{}, requestOf({ spki: new Uint8Array(weak) }), 'weak-rsa-key'],
      [{}, requestOf({ items: [forged] }), 'bad-header-proof'],
      [{ policy: policyOf({ all: [owner, onchain] }, away) }, requestOf(), 'policy-unavailable'],
    ] as const
    for (const [overrides, request, code] of cases) {
      const { dryRun, pipeline } = createTestPipeline(overrides)
      const authorization = authorize(request)
      expect(await dryRun.explain(authorization, call())).toMatchObject({
        report: { allowed: false, items: [{ code }] },
      })
      expect(await pipeline.handle(authorization, { ...call(), remote: 'test' })).toMatchObject({ code })
    }
  })

  it('asks no rule about a request that is not admitted', async () => {
    const { dryRun } = createTestPipeline()
    const stranger = createSigner()
    const signed = authorize(requestOf())
    expect(await dryRun.explain({ ...signed, signature: stranger.sign(signed.payload) }, call())).toEqual({
      kind: 'refusal',
      code: 'bad-signature',
    })
    const late = authorize(requestOf({ notBefore: 1, expiresAt: 2 }))
    expect(await dryRun.explain(late, call())).toMatchObject({ code: 'clock-skew', skewSeconds: expect.any(Number) })
    expect(await dryRun.explain(signed, call({ signal: AbortSignal.abort() }))).toMatchObject({ code: 'cancelled' })
  })

  it('is done a few at a time', async () => {
    const { dryRun } = createTestPipeline()
    const busyOf = async (address: (n: number) => string): Promise<number> => {
      const calls = Array.from({ length: 20 }, (_, n) => call({ address: address(n) }))
      const results = await Promise.all(calls.map((each) => dryRun.explain(authorize(requestOf()), each)))
      return results.filter((result) => result.kind === 'refusal' && result.code === 'busy').length
    }
    expect(await busyOf((n) => `192.0.2.${n}`)).toBe(2)
    expect(await busyOf(() => '192.0.2.1')).toBe(15)
  })
})
