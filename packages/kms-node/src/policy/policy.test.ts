import { decodeGrant } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { NO_CHAINS } from '../chain/chain-reader.ts'
import {
  alice,
  bytes32,
  createSigner,
  curve,
  grantedItem,
  grantPolicy,
  issuer,
  itemFor,
  NOW_SECONDS,
  policyOf,
  rulePorts,
} from '../serve/pipeline.fixture.ts'
import type { Decision } from './decision.ts'
import { inputOf } from './decision-input.fixture.ts'
import { parsePolicy, POLICY_TEMPLATE } from './policy-file.ts'
import { parseYaml } from '../config/yaml-file.ts'

const refusal = (rule: string, reason: string): Decision => ({ allowed: false, refusals: [{ rule, reason }] })

describe('owner rule', () => {
  const policy = policyOf({ rule: 'owner' })
  it('allows the requester the label names, and nobody else', async () => {
    expect(await policy.decide('k', inputOf())).toEqual({ allowed: true, rules: ['owner'] })
    expect(await policy.decide('k', inputOf({ item: itemFor(createSigner()) }))).toEqual(refusal('owner', 'not-named'))
    expect(await policy.decide('k', inputOf({ principal: undefined }))).toEqual(refusal('owner', 'not-signed'))
    const v1 = policyOf({ rule: 'owner' }, NO_CHAINS, 'v1')
    expect(await v1.decide('k', inputOf({ item: grantedItem() }))).toEqual(refusal('owner', 'no-label'))
    const unnamed = { ...itemFor(alice), policy: new Uint8Array(0) }
    expect(await policy.decide('k', inputOf({ item: unnamed }))).toEqual(refusal('owner', 'nobody-named'))
  })
})

/** The grant of `grantedItem`. */
const signed = { issuer: issuer.id, grantId: bytes32(8) }

describe('grant rule', () => {
  const policy = grantPolicy()
  it('allows exactly what a listed issuer signed', async () => {
    expect(await policy.decide('k', inputOf({ item: grantedItem() }))).toEqual({
      allowed: true,
      rules: ['grant'],
      grants: [signed],
    })
  })

  it.each([
    ['grant-for-another-cluster', { clusterId: bytes32(7) }],
    ['grant-for-another-key', { keyId: bytes32(7) }],
    ['grant-for-another-chain', { chainId: 5 }],
    ['grant-for-another-handle', { handle: bytes32(7) }],
    ['grant-for-another-recipient', { recipientSpkiHash: bytes32(7) }],
    ['grant-for-another-requester', { requester: 'none' }],
    ['grant-for-another-point', { K: curve.generator }],
    ['grant-expired', { notBefore: NOW_SECONDS - 200, expiresAt: NOW_SECONDS - 61 }],
    ['grant-not-yet-valid', { notBefore: NOW_SECONDS + 61, expiresAt: NOW_SECONDS + 90 }],
  ])('refuses a %s', async (reason, changes) => {
    const item = grantedItem(changes as Parameters<typeof grantedItem>[0])
    expect(await policy.decide('k', inputOf({ item }))).toEqual(refusal('grant', reason))
  })

  it('refuses another issuer, a forged signature and no grant at all', async () => {
    const stranger = grantedItem({}, createSigner())
    expect(await policy.decide('k', inputOf({ item: stranger }))).toEqual(refusal('grant', 'issuer-not-listed'))
    const forged = grantedItem({}, { ...issuer, sign: createSigner().sign })
    expect(await policy.decide('k', inputOf({ item: forged }))).toEqual(refusal('grant', 'grant-signature'))
    expect(await policy.decide('k', inputOf({ item: grantedItem(), grants: [] }))).toEqual(refusal('grant', 'no-grant'))
  })

  it('finds the right grant among several', async () => {
    const item = grantedItem()
    const others = [grantedItem({ handle: bytes32(1) }), grantedItem({ chainId: 3 }), item]
    const grants = others.map(({ grant }) => decodeGrant(curve, grant))
    expect(await policy.decide('k', inputOf({ item, grants }))).toMatchObject({ allowed: true })
  })
})

describe('policy', () => {
  const owner = { rule: 'owner' }
  const grant = { rule: 'grant', issuers: [issuer.id] }

  it('combines rules with any and all, and names who refused', async () => {
    const granted = inputOf({ item: grantedItem() })
    const decide = (tree: object): Promise<Decision> => policyOf(tree, NO_CHAINS, 'v1').decide('k', granted)
    expect(await decide({ any: [owner, grant] })).toEqual({ allowed: true, rules: ['grant'], grants: [signed] })
    expect(await decide({ all: [grant, owner] })).toEqual(refusal('owner', 'no-label'))
    expect(await decide({ all: [grant, { any: [owner, grant] }] })).toEqual({
      allowed: true,
      rules: ['grant', 'grant'],
      grants: [signed, signed],
    })
    const stranger = inputOf({ item: itemFor(createSigner()) })
    expect(await policyOf({ any: [owner, grant] }).decide('k', stranger)).toEqual({
      allowed: false,
      refusals: [
        { rule: 'owner', reason: 'not-named' },
        { rule: 'grant', reason: 'no-grant' },
      ],
    })
  })

  it('has no default: a key without rules is for nobody, an entry of its own goes before "*"', async () => {
    const context = { file: 'policy.yaml', ports: rulePorts() }
    const one = parsePolicy({ version: 1, keys: { 'ecies/1': owner } }, context)
    expect(await one.decide('ecies/2', inputOf())).toEqual(refusal('policy', 'no-rules-for-this-key'))
    const both = parsePolicy({ version: 1, keys: { 'ecies/1': grant, '*': owner } }, context)
    expect(await both.decide('ecies/1', inputOf())).toMatchObject({ allowed: false })
    expect(await both.decide('ecies/2', inputOf())).toMatchObject({ allowed: true })
  })

  it('keeps each key for one version of envelopes, v2 unless it says so', async () => {
    const other = refusal('policy', 'other-envelope-version')
    // Nothing tells this v1 item from an honest one: its K is that of an envelope of alice, which a producer was made to sign for.
    const copied = inputOf({ item: grantedItem() })
    expect(await policyOf({ any: [owner, grant] }).decide('k', copied)).toEqual(other)
    const document = { version: 1, keys: { '*': { any: [owner, grant] }, 'ecies/1': { envelopes: 'v1', ...grant } } }
    const policy = parsePolicy(document, { file: 'policy.yaml', ports: rulePorts() })
    expect(await policy.decide('ecies/2', copied)).toEqual(other)
    expect(await policy.decide('ecies/1', copied)).toMatchObject({ allowed: true, rules: ['grant'] })
    expect(await policy.decide('ecies/1', inputOf())).toEqual(other)
    expect((await policy.explain('ecies/1', inputOf())).told).toMatchObject({ rule: 'policy' })
  })

  it('binds the K of a v1 item by a rule, also where coarse rules stand alone', async () => {
    const quota = { rule: 'quota', requester: [{ items: 9, seconds: 60 }] }
    const document = { version: 1, keys: { '*': { envelopes: 'v1', any: [quota, grant] } } }
    const policy = parsePolicy(document, { file: 'policy.yaml', ports: rulePorts(), profile: 'development' })
    expect(await policy.decide('k', inputOf({ item: { ...grantedItem(), grant: new Uint8Array(0) } }))).toEqual(
      refusal('policy', 'point-not-bound'),
    )
    expect(await policy.decide('k', inputOf({ item: grantedItem() }))).toMatchObject({
      allowed: true,
      rules: ['grant'],
    })
  })

  const nox = { rule: 'nox', chain: 1, gateway: `0x${'c0'.repeat(20)}` }
  const weak = `ed25519:01${'00'.repeat(31)}`
  it.each([
    ['nothing', null],
    ['no keys', { version: 1, keys: {} }],
    ['another version', { version: 2, keys: { '*': owner } }],
    ['an unknown field', { version: 1, keys: { '*': owner }, extra: 1 }],
    ['an unknown rule', { version: 1, keys: { '*': { rule: 'allow' } } }],
    ['an option owner does not have', { version: 1, keys: { '*': { rule: 'owner', sure: true } } }],
    ['an empty all', { version: 1, keys: { '*': { all: [] } } }],
    ['an empty any', { version: 1, keys: { '*': { any: [] } } }],
    ['two heads', { version: 1, keys: { '*': { any: [owner], all: [owner] } } }],
    ['no issuers', { version: 1, keys: { '*': { rule: 'grant' } } }],
    ['an issuer of small order', { version: 1, keys: { '*': { rule: 'grant', issuers: [weak] } } }],
    [
      'a wallet in mixed case',
      { version: 1, keys: { '*': { rule: 'grant', issuers: [`eip712:0x${'aB'.repeat(20)}`] } } },
    ],
    ['a session as issuer', { version: 1, keys: { '*': { rule: 'grant', issuers: [`session:${'00'.repeat(32)}`] } } }],
    ['another regime', { version: 1, keys: { '*': { envelopes: 'v3', ...owner } } }],
    ['a regime in a branch', { version: 1, keys: { '*': { any: [{ envelopes: 'v1', ...grant }] } } }],
    ['nox without its regime', { version: 1, keys: { '*': { any: [owner, nox] } } }],
    ['nox in v2', { version: 1, keys: { '*': { envelopes: 'v2', all: [{ any: [nox] }] } } }],
    ['a wrong key name', { version: 1, keys: { 'Not A Name': owner } }],
  ])('refuses a file with %s whole', (_what, document) => {
    expect(() => parsePolicy(document, { file: 'policy.yaml', ports: rulePorts() })).toThrow(
      expect.objectContaining({ code: 'bad-config-file' }),
    )
  })

  it('is remarked on where an entry for v1 envelopes can never say yes', () => {
    const remarks: string[] = []
    const remark = (path: string): void => void remarks.push(path)
    const keys = {
      'ecies/1': { envelopes: 'v1', ...owner },
      'ecies/2': { envelopes: 'v1', any: [owner, grant] },
      'ecies/3': { envelopes: 'v1', ...nox },
      '*': owner,
    }
    parsePolicy({ version: 1, keys }, { file: 'policy.yaml', ports: rulePorts(), remark })
    expect(remarks).toEqual(['keys.ecies/1'])
  })

  it('the file that init writes allows owners only, within a quota', async () => {
    const policy = parsePolicy(parseYaml(POLICY_TEMPLATE, 'policy.yaml'), {
      file: 'policy.yaml',
      ports: rulePorts(),
    })
    expect(await policy.decide('ecies/1', inputOf())).toEqual({ allowed: true, rules: ['owner', 'quota'] })
    expect(await policy.decide('ecies/1', inputOf({ item: grantedItem() }))).toMatchObject({ allowed: false })
  })

  it('the file that init writes lets nobody fill the audit log, neither one requester nor one address', async () => {
    const context = { file: 'policy.yaml', ports: rulePorts() }
    const policy = parsePolicy(parseYaml(POLICY_TEMPLATE, 'policy.yaml'), context)
    const input = inputOf()
    let allowed = 0
    const refused = async (of: (n: number) => string): Promise<Decision> => {
      for (;;) {
        const decision = await policy.decide('ecies/1', { ...input, requesterId: of(allowed) })
        if (!decision.allowed || allowed > 250_000) return decision
        allowed++
      }
    }
    expect(await refused(() => alice.id)).toEqual(refusal('quota', 'requester-quota-used-up'))
    expect(allowed).toBe(6_000)
    // Another name costs nothing, another address does.
    expect(await refused((n) => `name ${Math.floor(n / 6_000)}`)).toEqual(refusal('quota', 'address-quota-used-up'))
    expect(allowed).toBe(200_000)
  })
})
