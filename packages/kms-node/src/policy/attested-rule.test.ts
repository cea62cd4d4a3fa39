import { sha256 } from '@noble/hashes/sha2.js'
import { attestedRequesterNonce, encodeAttestationEvidence, type Evidence, reportData } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { fixedCollateral } from '../attest/collateral.fixture.ts'
import { type CollateralWishes, MINTED_MR_TD, mintChain } from '../attest/minted-chain.fixture.ts'
import type { AttestationVerdict } from '../attest/verdict.ts'
import { createQuoteVerifier } from '../attest/verify-quote.ts'
import { alice, clusterId, createSigner, NOW_SECONDS, rulePorts, spki } from '../serve/pipeline.fixture.ts'
import { createAttestedRule } from './attested-rule.ts'
import type { DecisionInput, RuleVerdict } from './decision.ts'
import { inputOf } from './decision-input.fixture.ts'
import { parsePolicy } from './policy-file.ts'

const bob = createSigner()
const DAY_MS = 86_400_000
const chain = mintChain(NOW_SECONDS * 1000)
const allow = [{ name: 'runner-1', mrTd: Buffer.from(MINTED_MR_TD).toString('hex') }]

interface Wishes {
  readonly quotedAt?: number
  readonly requester?: string
  readonly recipient?: Uint8Array
  readonly cluster?: Uint8Array
  readonly td?: Parameters<typeof chain.tdxQuote>[1]
  readonly change?: (quote: Uint8Array) => Uint8Array
}

function evidenceOf(wishes: Wishes = {}): Evidence {
  const { quotedAt = NOW_SECONDS, requester = alice.id, recipient = spki, cluster = clusterId, td } = wishes
  const nonce = attestedRequesterNonce(requester, quotedAt)
  const data = reportData({ role: 'requester', clusterId: cluster, rsaSpkiSha256: sha256(recipient), nonce })
  const { change = (same) => same } = wishes
  return { kind: 3, bytes: encodeAttestationEvidence({ quotedAt, quote: change(chain.tdxQuote(data, td)) }) }
}

/** What the rule says, and how often a quote was verified. */
function setUp(collateral: CollateralWishes = {}, nowMs = NOW_SECONDS * 1000) {
  const verifier = createQuoteVerifier({
    root: chain.root,
    collateral: fixedCollateral(chain.collateral(collateral)),
    allow,
    clock: { nowMs: () => nowMs },
  })
  const counted = { verified: 0 }
  const rule = createAttestedRule({
    verifier: {
      verify: (quote, check) => {
        counted.verified++
        return verifier.verify(quote, check)
      },
    },
    maxAgeSeconds: 3600,
  })
  const decide = async (evidence: readonly Evidence[], input: Partial<DecisionInput> = {}): Promise<RuleVerdict> =>
    rule.decide(inputOf({ evidence, ...input }), { handleBound: true })
  return { decide, counted }
}

const refusal = (reason: string): RuleVerdict => ({ kind: 'no', reason })

describe('attested', () => {
  it('says yes to a quote of an allowed machine for this cluster, RSA key, requester and time', async () => {
    const { decide } = setUp()
    expect(await decide([evidenceOf()])).toEqual({ kind: 'yes' })
    expect(await decide([{ kind: 9, bytes: new Uint8Array(4) }, evidenceOf({ quotedAt: NOW_SECONDS - 3000 })])).toEqual(
      {
        kind: 'yes',
      },
    )
  })

  it.each([
    ['of another requester', { requester: bob.id }, 'quote-report-data'],
    ['for another RSA key', { recipient: new Uint8Array(294) }, 'quote-report-data'],
    ['for another cluster', { cluster: new Uint8Array(32).fill(77) }, 'quote-report-data'],
    ['of another machine', { td: { mrTd: new Uint8Array(48).fill(9) } }, 'quote-measurement'],
    ['of a machine in debug mode', { td: { tdAttributes: Uint8Array.of(1, 0, 0, 0x10, 0, 0, 0, 0) } }, 'quote-debug'],
    ['that is too old', { quotedAt: NOW_SECONDS - 3661 }, 'quote-too-old'],
    ['from the future', { quotedAt: NOW_SECONDS + 61 }, 'quote-not-yet-valid'],
    [
      'with a changed byte',
      { change: (quote: Uint8Array) => quote.with(300, 1 ^ (quote[300] ?? 0)) },
      'quote-signature',
    ],
    ['that is none', { change: () => new Uint8Array(100) }, 'quote-malformed'],
  ] as const)('refuses a quote %s', async (_what, wishes, reason) => {
    expect(await setUp().decide([evidenceOf(wishes)])).toEqual(refusal(reason))
  })

  it('refuses where a later time is claimed for an old quote', async () => {
    const nonce = attestedRequesterNonce(alice.id, NOW_SECONDS - 7200)
    const data = reportData({ role: 'requester', clusterId, rsaSpkiSha256: sha256(spki), nonce })
    const bytes = encodeAttestationEvidence({ quotedAt: NOW_SECONDS, quote: chain.tdxQuote(data) })
    expect(await setUp().decide([{ kind: 3, bytes }])).toEqual(refusal('quote-report-data'))
  })

  it('refuses without a quote, with more than one, with bytes that are none, and a request that nobody signed', async () => {
    const { decide, counted } = setUp()
    expect(await decide([])).toEqual(refusal('no-quote'))
    expect(await decide([evidenceOf(), evidenceOf()])).toEqual(refusal('more-than-one-quote'))
    expect(await decide([{ kind: 3, bytes: new Uint8Array(3) }])).toEqual(refusal('quote-malformed'))
    expect(await decide([evidenceOf()], { requesterId: 'none', principal: undefined })).toEqual(
      refusal('request-not-signed'),
    )
    expect(counted.verified).toBe(0)
  })

  it.each([
    ['expired', { issuedMs: NOW_SECONDS * 1000 - 40 * DAY_MS }],
    ['revoked', { revokePck: true }],
    ['tcb', { tcbStatus: 'OutOfDate' }],
  ] as const)('refuses a machine whose papers are %s', async (reason, wishes) => {
    expect(await setUp(wishes).decide([evidenceOf()])).toEqual(refusal(`quote-${reason}`))
  })

  it('verifies a quote once for all items of a request and for the requests of ten minutes', async () => {
    const { decide, counted } = setUp()
    const evidence = evidenceOf()
    await Promise.all([decide([evidence]), decide([evidence]), decide([evidence])])
    expect(counted.verified).toBe(1)
    const again = { ...evidence }
    expect(await decide([again], { nowSeconds: NOW_SECONDS + 500 })).toEqual({ kind: 'yes' })
    expect(counted.verified).toBe(1)
    expect(await decide([{ ...evidence }], { nowSeconds: NOW_SECONDS + 601 })).toEqual({ kind: 'yes' })
    expect(counted.verified).toBe(2)
    expect(await decide([{ ...evidence }], { requesterId: bob.id })).toEqual(refusal('quote-report-data'))
  })

  describe('while quotes wait for collateral', () => {
    function setUpWaiting() {
      const { promise: collateral, resolve } = Promise.withResolvers<AttestationVerdict>()
      const verified: Uint8Array[] = []
      const verify = (quote: Uint8Array | undefined): Promise<AttestationVerdict> => {
        verified.push(quote ?? new Uint8Array())
        return collateral
      }
      const rule = createAttestedRule({ verifier: { verify }, maxAgeSeconds: 3600 })
      const decide = async (evidence: Evidence, input: Partial<DecisionInput> = {}): Promise<RuleVerdict> =>
        rule.decide(inputOf({ evidence: [evidence], ...input }), { handleBound: true })
      return { decide, verified, resolve }
    }
    const accepted: AttestationVerdict = {
      kind: 'accepted',
      tee: 'tdx',
      measurement: 'runner-1',
      tcbStatus: 'UpToDate',
      expiresMs: 1000 * NOW_SECONDS + DAY_MS,
    }
    const busy = { kind: 'no', reason: 'quote-busy', undecided: true }

    it('verifies one quote once for all requests with it, whoever of them gives up', async () => {
      const { decide, verified, resolve } = setUpWaiting()
      const evidence = evidenceOf()
      const impatient = new AbortController()
      const gaveUp = decide({ ...evidence }, { signal: impatient.signal })
      const others = [decide({ ...evidence }), decide({ ...evidence })]
      impatient.abort()
      expect(await gaveUp).toEqual(busy)
      resolve(accepted)
      expect(await Promise.all(others)).toEqual([{ kind: 'yes' }, { kind: 'yes' }])
      expect(verified).toHaveLength(1)
    })

    it('verifies sixteen at once, and knows nothing of more', async () => {
      const { decide, verified, resolve } = setUpWaiting()
      const evidence = Array.from({ length: 17 }, (_, at) => evidenceOf({ quotedAt: NOW_SECONDS - at }))
      const [last = expect.unreachable(), ...first] = evidence.toReversed()
      const decided = first.map((one) => decide(one))
      expect(await decide(last)).toEqual(busy)
      resolve(accepted)
      expect(await Promise.all(decided)).toEqual(first.map(() => ({ kind: 'yes' })))
      expect(verified).toHaveLength(16)
      expect(await decide({ ...last })).toEqual({ kind: 'yes' })
      expect(verified).toHaveLength(17)
    })
  })

  it('does not know while there is no collateral', async () => {
    const unavailable = createAttestedRule({
      verifier: { verify: () => Promise.resolve({ kind: 'refused', reason: 'collateral', detail: 'no answer' }) },
      maxAgeSeconds: 60,
    })
    expect(await unavailable.decide(inputOf({ evidence: [evidenceOf()] }), { handleBound: true })).toEqual({
      kind: 'no',
      reason: 'quote-collateral',
      undecided: true,
    })
  })
})

describe('attested in a policy file', () => {
  const mrTd = 'ab'.repeat(48)
  const registers = { rtmr1: mrTd, rtmr2: mrTd }
  const problemsOf = (options: object, profile?: 'production' | 'development'): readonly string[] => {
    const document = { version: 1, keys: { 'a/1': { any: [{ rule: 'owner' }, { rule: 'attested', ...options }] } } }
    try {
      parsePolicy(document, { file: 'policy.yaml', ports: rulePorts(), ...(profile && { profile }) })
      return []
    } catch (error) {
      expect(error).toMatchObject({ code: 'bad-config-file' })
      return (error as { data: { problems: string[] } }).data.problems
    }
  }

  it('names machines whole, enclaves, signers', () => {
    const enclaves = [
      { name: 'b', mrEnclave: 'cd'.repeat(32) },
      { name: 'c', mrSigner: 'cd'.repeat(32), isvProdId: 1, isvSvn: 2 },
    ]
    expect(problemsOf({ allow: [{ name: 'a', mrTd, ...registers }, ...enclaves], maxAgeSeconds: 60 })).toEqual([])
  })

  it.each([{}, { rtmr1: mrTd }, { rtmr2: mrTd, rtmr3: mrTd }])(
    'refuses the whole file where an entry names the firmware and not what runs on it: %s',
    (given) => {
      const allow = [
        { name: 'whole', mrTd, ...registers },
        { name: 'runner-1', mrTd, ...given },
      ]
      const problem = expect.stringMatching(/^keys\.a\/1\.any\.1\.allow\.1, runner-1: .* any kernel/) as unknown
      expect(problemsOf({ allow })).toEqual([problem])
      expect(problemsOf({ allow }, 'production')).toEqual([problem])
      expect(problemsOf({ allow }, 'development')).toEqual([])
    },
  )

  it.each([
    [{}, /allow: must be a list/],
    [{ allow: [] }, /allow: must be a list/],
    [{ allow: [{ name: 'a', mrTd: 'ab', ...registers }] }, /allow\.0: a name with/],
    [{ allow: [1, 2].map(() => ({ name: 'a', mrTd, ...registers })) }, /allow: names an entry twice/],
    [{ allow: [{ name: 'a', mrTd, ...registers }], maxAgeSeconds: 0 }, /maxAgeSeconds: must be/],
    [{ allow: [{ name: 'a', mrTd, ...registers }], root: 'x' }, /root: is no option/],
  ])('refuses %j', (options, problem) => {
    expect(problemsOf(options)).toEqual([expect.stringMatching(problem)])
  })
})
