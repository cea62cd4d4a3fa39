import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { issuer, policyOf, rulePorts } from '../serve/pipeline.fixture.ts'
import { type Decision, no, YES } from './decision.ts'
import { inputOf } from './decision-input.fixture.ts'
import { parsePolicy } from './policy-file.ts'
import type { Policy } from './policy.ts'
import type { RuleType } from './rule-type.ts'

const tokenHash = sha256(utf8ToBytes('let me in'))
const token = { rule: 'token', sha256: [bytesToHex(tokenHash)] }
const owner = { rule: 'owner' }
const document = (tree: object): unknown => ({ version: 1, keys: { '*': tree } })
const development = (tree: object, ports = rulePorts()): Policy =>
  parsePolicy(document(tree), { file: 'policy.yaml', ports, profile: 'development' })
const refused = (rule: string, reason: string): Decision => ({ allowed: false, refusals: [{ rule, reason }] })

describe('token rule', () => {
  it('knows a listed token by its hash', async () => {
    const policy = policyOf({ all: [token, owner] })
    expect(await policy.decide('k', inputOf({ tokenHash }))).toEqual({ allowed: true, rules: ['token', 'owner'] })
    expect(await policy.decide('k', inputOf())).toEqual(refused('token', 'no-token'))
    expect(await policy.decide('k', inputOf({ tokenHash: sha256(tokenHash) }))).toEqual(
      refused('token', 'token-not-listed'),
    )
    const prefixed = { rule: 'token', sha256: [`0x${bytesToHex(tokenHash)}`] }
    expect(await policyOf({ all: [prefixed, owner] }).decide('k', inputOf({ tokenHash }))).toMatchObject({
      allowed: true,
    })
  })
})

describe('quota rule', () => {
  const one = [{ items: 1, seconds: 60 }]
  const quota = (options: object): object => ({ all: [owner, { rule: 'quota', ...options }] })

  it('counts per requester and per address', async () => {
    const byRequester = policyOf(quota({ requester: one }))
    const allowed = { allowed: true, rules: ['owner', 'quota'] }
    expect(await byRequester.decide('k', inputOf())).toEqual(allowed)
    expect(await byRequester.decide('k', inputOf({ remote: '10.0.0.2' }))).toEqual(
      refused('quota', 'requester-quota-used-up'),
    )
    expect(await byRequester.decide('k', inputOf({ requesterId: issuer.id }))).toEqual(allowed)
    const byAddress = policyOf(quota({ address: one, requester: [{ items: 9, seconds: 60 }] }))
    expect(await byAddress.decide('k', inputOf())).toEqual(allowed)
    expect(await byAddress.decide('k', inputOf({ requesterId: issuer.id }))).toEqual(
      refused('quota', 'address-quota-used-up'),
    )
    expect(await byAddress.decide('k', inputOf({ remote: '10.0.0.2' }))).toEqual(allowed)
  })

  it('counts what it allowed, and nothing of a dry run or an explanation', async () => {
    const policy = policyOf(quota({ requester: one }))
    const dry = inputOf({ dryRun: true })
    expect([await policy.decide('k', dry), await policy.decide('k', dry)]).toMatchObject([
      { allowed: true },
      { allowed: true },
    ])
    expect((await policy.explain('k', dry)).decision).toMatchObject({ allowed: true })
    expect(await policy.decide('k', inputOf({ principal: undefined }))).toMatchObject({ allowed: false })
    expect(await policy.decide('k', inputOf())).toMatchObject({ allowed: true })
    expect(await policy.decide('k', dry)).toMatchObject({ allowed: false })
  })

  it('is not fresh again after the same policy was read again, and is after it was changed', async () => {
    const ports = rulePorts()
    const decide = (items: number): Promise<Decision> =>
      development(quota({ requester: [{ items, seconds: 60 }] }), ports).decide('k', inputOf())
    expect([await decide(1), await decide(1), await decide(2)].map(({ allowed }) => allowed)).toEqual([
      true,
      false,
      true,
    ])
  })
})

describe('rules that only narrow', () => {
  const anyMember = { rule: 'quota', requester: [{ items: 1, seconds: 1 }] }
  it.each([
    [token],
    [anyMember],
    [{ all: [token, anyMember] }],
    [{ any: [owner, token] }],
    [{ any: [owner, { all: [token, { any: [owner, anyMember] }] }] }],
  ])('never say yes alone in production: %j', (tree) => {
    expect(() => policyOf(tree)).toThrow(expect.objectContaining({ code: 'bad-config-file' }))
    expect(development(tree)).toBeDefined()
  })

  it.each([[{ all: [token, owner] }], [{ any: [owner, { all: [owner, anyMember] }] }]])(
    'may stand beside others: %j',
    (tree) => {
      expect(policyOf(tree)).toBeDefined()
    },
  )

  it.each([
    [{ rule: 'token' }],
    [{ rule: 'token', sha256: [] }],
    [{ rule: 'token', sha256: ['let me in'] }],
    [{ rule: 'token', sha256: [bytesToHex(tokenHash).toUpperCase()] }],
    [{ ...token, header: 'x' }],
    [{ rule: 'quota' }],
    [{ rule: 'quota', requester: [] }],
    [{ rule: 'quota', requester: [{ items: 0, seconds: 1 }] }],
    [{ rule: 'quota', requester: [{ items: 1 }] }],
    [{ rule: 'quota', requester: [{ items: 1, seconds: 1, burst: 2 }] }],
    [
      {
        rule: 'quota',
        address: [
          { items: 1, seconds: 1 },
          { items: 1, seconds: 2 },
          { items: 1, seconds: 3 },
        ],
      },
    ],
    [{ ...anyMember, window: 1 }],
  ])('are refused when wrong: %j', (tree) => {
    expect(() => development(tree)).toThrow(expect.objectContaining({ code: 'bad-config-file' }))
  })
})

describe('a rule that another part brings along', () => {
  const brought: RuleType = {
    name: 'brought',
    parse: () => () => ({ name: 'brought', decide: ({ evidence }) => (evidence.length > 0 ? YES : no('no-quote')) }),
  }
  const tree = { rule: 'brought' }
  it('is unknown without it, and used once it is there', async () => {
    expect(() => policyOf(tree)).toThrow(/must be one of owner, grant/)
    const policy = parsePolicy(document(tree), { file: 'policy.yaml', ports: rulePorts(), ruleTypes: [brought] })
    expect(await policy.decide('k', inputOf())).toEqual(refused('brought', 'no-quote'))
    expect(await policy.decide('k', inputOf({ evidence: [{ kind: 9, bytes: new Uint8Array(1) }] }))).toMatchObject({
      allowed: true,
    })
  })
})
