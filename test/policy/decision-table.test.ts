import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { itemPoint, type RequestItem } from '@tkms/dkg'
import { bytes32, curve, groupKey, NOW_SECONDS, policyOf } from '../../packages/kms-node/src/serve/pipeline.fixture.ts'
import { createWallet } from '../../packages/kms-node/src/serve/requester.fixture.ts'
import { attested, attestedLines, quotes } from './attested.ts'
import { chains, type Change, type Line, RULES, type RuleCase, strangeKey as stranger } from './rules.ts'
import { type Outcome, startThreeNodes, type ThreeNodes } from './three-nodes.ts'

/*
 * Every rule against everything that can be wrong with a request or with what the rule wants to see (docs/interfaces.md, "Requests for
 * decryption" and "Policy"). Each line is asked of three nodes over HTTP and libp2p, and no refusal may touch a share.
 */

let nodes: ThreeNodes
beforeAll(async () => {
  nodes = await startThreeNodes()
})
afterAll(() => nodes.stop())

const named = ([what, change, expected, only]: Line): {
  readonly what: string
  readonly change: Change
  readonly expected: Outcome
  readonly only: 'http' | undefined
} => ({ what, change, expected, only })

const strangeWallet = createWallet()
const otherSpki = new Uint8Array(294).fill(0x30)
const at = (offset: number, bytes: Uint8Array) => (payload: Uint8Array) => {
  const changed = Uint8Array.from(payload)
  changed.set(bytes, offset)
  return changed
}
/** clusterId and keyId of a REQ in each other's place. */
const swapped = (payload: Uint8Array): Uint8Array =>
  Uint8Array.from([
    ...payload.subarray(0, 1),
    ...payload.subarray(33, 65),
    ...payload.subarray(1, 33),
    ...payload.subarray(65),
  ])
const otherPoint = (item: RequestItem): RequestItem => {
  const K = curve.sum([itemPoint(item), groupKey]) ?? groupKey
  return item.version === 1 ? { ...item, K } : { ...item, header: { ...item.header, K } }
}
const upper = (id: string): string => id.replace(/[a-f]/g, (digit) => digit.toUpperCase())

/** What is the same whatever the rule: these checks come before the policy is asked, or beside it. */
const common = (wrongPoint: Outcome, wrongRsaKey: Outcome = 'bad-signature'): readonly Line[] => [
  ['valid', {}, 'answer'],
  ['expired', { request: { notBefore: NOW_SECONDS - 600, expiresAt: NOW_SECONDS - 61 } }, 'clock-skew'],
  ['not yet valid', { request: { notBefore: NOW_SECONDS + 61, expiresAt: NOW_SECONDS + 300 } }, 'clock-skew'],
  ['within the leeway', { request: { notBefore: NOW_SECONDS - 600, expiresAt: NOW_SECONDS - 60 } }, 'answer'],
  ['signed by another key', { signer: stranger }, 'bad-signature'],
  ['for another cluster', { payload: at(1, bytes32(77)) }, 'wrong-cluster'],
  ['for another key', { payload: at(33, bytes32(77)) }, 'unknown-key'],
  ['for another sharing', { request: { sharingId: bytes32(77) as never } }, 'wrong-sharing'],
  ['with another K', { item: otherPoint }, wrongPoint],
  [
    'row 38: with another RSA key, put in on the way',
    {
      transit: (ask) => ({
        ...ask,
        authorization: { ...ask.authorization, payload: replaceSpki(ask.authorization.payload) },
      }),
    },
    wrongRsaKey,
  ],
  ['truncated', { payload: (bytes) => bytes.subarray(0, -1) }, 'malformed'],
  ['cut to nothing', { payload: () => new Uint8Array(0) }, 'malformed'],
  ['with fields reordered', { payload: swapped }, 'wrong-cluster'],
  [
    'changed after it was signed',
    {
      transit: (ask) => ({
        ...ask,
        authorization: { ...ask.authorization, payload: flipRequestId(ask.authorization.payload) },
      }),
    },
    'bad-signature',
  ],
  [
    'with its hexadecimal digits in upper case',
    { transit: (ask) => ({ ...ask, json: (text) => text.replace(/(?<="payload":")[^"]*/, (hex) => upper(hex)) }) },
    'malformed',
    'http',
  ],
  [
    'with its name in upper case',
    {
      transit: (ask) => ({
        ...ask,
        authorization: { ...ask.authorization, publicKeyId: upper(ask.authorization.publicKeyId) },
      }),
    },
    'malformed',
  ],
]

const REQUEST_ID_AT = 1 + 3 * 32
const SPKI_AT = REQUEST_ID_AT + 32 + 16 + 4
const flipRequestId = (payload: Uint8Array): Uint8Array => at(REQUEST_ID_AT, bytes32(66))(payload)
/** Keeps the length and the shape: a modulus with another byte. */
const replaceSpki = (payload: Uint8Array): Uint8Array =>
  at(SPKI_AT + 100, Uint8Array.of((payload[SPKI_AT + 100] ?? 0) ^ 1))(payload)

const ownerLines: readonly Line[] = [
  ...common('bad-header-proof'),
  ['not signed', { without: true }, 'not-allowed'],
  ['asked by another', { request: { publicKeyId: stranger.id }, signer: stranger }, 'not-allowed'],
  ['asked by another wallet', { request: { publicKeyId: strangeWallet.id }, signer: strangeWallet }, 'not-allowed'],
]

const sessionLines: readonly Line[] = [
  // The session names its RSA key, and is looked at before the signature under it.
  ...common('bad-header-proof', 'bad-session'),
  ['without its session', { without: true }, 'bad-session'],
  [
    'in a session that is over',
    { credential: { notBefore: NOW_SECONDS - 600, expiresAt: NOW_SECONDS - 61 } },
    'bad-session',
  ],
  [
    'in a session that has not begun',
    { credential: { notBefore: NOW_SECONDS + 61, expiresAt: NOW_SECONDS + 600 } },
    'bad-session',
  ],
  ['in a session signed by another', { forger: stranger }, 'bad-session'],
  ['in a session signed by another wallet', { forger: strangeWallet }, 'bad-session'],
  ['in a session of another, truly', { forger: stranger, credential: { principal: stranger.id } }, 'not-allowed'],
  ['in a session for another cluster', { credential: { clusterId: bytes32(77) } }, 'bad-session'],
  ['in a session for another key', { credential: { keyId: bytes32(77) } }, 'bad-session'],
  ['in a session for another RSA key', { credential: { recipientSpkiHash: bytes32(77) } }, 'bad-session'],
  [
    'in a session for another handle',
    { credential: { handles: [{ chainId: 0, handle: bytes32(77) }] } },
    'bad-session',
  ],
  ['in a session for another chain', { credential: { handles: [{ chainId: 1, handle: bytes32(9) }] } }, 'bad-session'],
  ['in a session for every handle', { credential: { handles: [] } }, 'answer'],
]

/** @param wrongPoint a v2 item's header proof is checked before the rules */
const grantLines = (wrongPoint: Outcome): readonly Line[] => [
  ...common(wrongPoint),
  ['without a grant', { without: true }, 'not-allowed'],
  [
    'with a grant that is over',
    { credential: { notBefore: NOW_SECONDS - 600, expiresAt: NOW_SECONDS - 61 } },
    'not-allowed',
  ],
  [
    'with a grant that is not yet valid',
    { credential: { notBefore: NOW_SECONDS + 61, expiresAt: NOW_SECONDS + 600 } },
    'not-allowed',
  ],
  ['with a grant of an issuer that is not listed', { forger: stranger }, 'not-allowed'],
  ['with a grant of a wallet that is not listed', { forger: strangeWallet }, 'not-allowed'],
  ['with a grant for another cluster', { credential: { clusterId: bytes32(77) } }, 'not-allowed'],
  ['with a grant for another key', { credential: { keyId: bytes32(77) } }, 'not-allowed'],
  ['with a grant for another chain', { credential: { chainId: 7 } }, 'not-allowed'],
  ['with a grant for another handle', { credential: { handle: bytes32(77) } }, 'not-allowed'],
  ['with a grant for another K', { credential: { K: groupKey } }, 'not-allowed'],
  ['with a grant for another RSA key', { credential: { recipientSpkiHash: bytes32(77) } }, 'not-allowed'],
  ['with a grant for another requester', { credential: { requester: stranger.id } }, 'not-allowed'],
  ['asked by another', { request: { publicKeyId: stranger.id }, signer: stranger }, 'not-allowed'],
]

/** @param otherRsaKey a combiner that is listed has the answer boxed to a key of its own */
const noxLines = (otherRsaKey: Outcome): readonly Line[] => [
  ...common('not-allowed'),
  ["without the gateway's word", { without: true }, 'not-allowed'],
  ['signed by another wallet', { forger: strangeWallet }, 'not-allowed'],
  ['for another chain', { credential: { chainId: 1 } }, 'not-allowed'],
  ['for another K', { credential: { ephemeralPubKey: `0x${Buffer.from(groupKey).toString('hex')}` } }, 'not-allowed'],
  ['for another RSA key', { credential: { targetPubKey: `0x${Buffer.from(otherSpki).toString('hex')}` } }, otherRsaKey],
]

const noxUserLines: readonly Line[] = [
  ...noxLines('not-allowed'),
  [
    'asked by the user too long ago',
    { credential: { user: { notBefore: NOW_SECONDS - 600, expiresAt: NOW_SECONDS - 61 } } },
    'not-allowed',
  ],
  [
    'asked by the user for later',
    { credential: { user: { notBefore: NOW_SECONDS + 61, expiresAt: NOW_SECONDS + 600 } } },
    'not-allowed',
  ],
  ['asked by the user for ever', { credential: { user: { expiresAt: NOW_SECONDS + 10_000 } } }, 'not-allowed'],
  ['asked by the user for another RSA key', { credential: { user: { encryptionPubKey: '0x00' } } }, 'not-allowed'],
  ['asked by another user', { credential: { user: { address: bytes32(7).slice(12) } } }, 'not-allowed'],
]

const onchainLines: readonly Line[] = [
  ...common('bad-header-proof'),
  ['asked by a key, which is no account', { without: true }, 'not-allowed'],
  ['asked by a wallet that is no viewer', { forger: strangeWallet }, 'not-allowed'],
]

const tokenLines: readonly Line[] = [
  ...common('bad-header-proof'),
  ['without a token', { without: true }, 'not-allowed'],
  ['with another token', { credential: { text: 'another-token-0123456789' } }, 'not-allowed'],
  ['with the token in upper case', { credential: { text: 'TABLE-TOKEN-0123456789' } }, 'not-allowed'],
  ['asked by another', { request: { publicKeyId: stranger.id }, signer: stranger }, 'not-allowed'],
]

const TABLE: readonly (readonly [RuleCase, readonly Line[]])[] = [
  ...RULES.owners.map((rule) => [rule, ownerLines] as const),
  ...RULES.sessions.map((rule) => [rule, sessionLines] as const),
  ...RULES.grants.map((rule) => [rule, grantLines('not-allowed')] as const),
  [RULES.grantV2, grantLines('bad-header-proof')],
  [RULES.nox, noxLines('not-allowed')],
  [RULES.noxCombined, noxLines('answer')],
  [RULES.noxUser, noxUserLines],
  [RULES.onchain, onchainLines],
  [attested, [...common('bad-header-proof'), ...attestedLines]],
  [RULES.token, tokenLines],
  [RULES.quota, common('bad-header-proof')],
]

describe.each(TABLE.map(([rule, lines]) => ({ name: rule.name, rule, lines })))('$name', ({ rule, lines }) => {
  it.each(lines.map(named))('$what', async ({ change, expected, only }) => {
    nodes.setPolicy(policyOf(rule.tree, chains, rule.envelopes, quotes))
    nodes.usesOfShares()
    const doors = nodes.doors.filter(({ transport }) => only === undefined || transport === only)
    const outcomes = await Promise.all(
      doors.map(async ({ name, transport, ask }) => [`${name}, ${transport}`, await ask(await rule.ask(change))]),
    )
    expect(Object.fromEntries(outcomes)).toEqual(
      Object.fromEntries(doors.map(({ name, transport }) => [`${name}, ${transport}`, expected])),
    )
    expect(nodes.usesOfShares() > 0).toBe(expected === 'answer')
  })

  it('replayed', async () => {
    nodes.setPolicy(policyOf(rule.tree, chains, rule.envelopes, quotes))
    const ask = await rule.ask({})
    for (const transport of ['http', 'libp2p'] as const) {
      const doors = nodes.doors.filter((door) => door.transport === transport)
      const expected = transport === 'http' ? 'answer' : 'replayed'
      expect(await Promise.all(doors.map((door) => door.ask(ask)))).toEqual([expected, expected, expected])
    }
  })
})

describe('a key', () => {
  it.each([...RULES.grants, RULES.grantV2, RULES.nox].map((rule) => ({ name: rule.name, rule })))(
    'is for one version of envelopes: $name',
    async ({ rule }) => {
      const tree = rule.envelopes === 'v1' ? { rule: 'owner' } : rule.tree
      nodes.setPolicy(policyOf(tree, chains, rule.envelopes === 'v1' ? 'v2' : 'v1'))
      nodes.usesOfShares()
      for (const door of nodes.doors) expect(await door.ask(await rule.ask({}))).toBe('not-allowed')
      expect(nodes.usesOfShares()).toBe(0)
    },
  )
})

describe('quota', () => {
  it('says no when it is used up, on each node by itself', async () => {
    const tree = { all: [{ rule: 'owner' }, { rule: 'quota', requester: [{ items: 2, seconds: 3_600 }] }] }
    for (const door of nodes.doors.filter(({ transport }) => transport === 'http')) {
      nodes.setPolicy(policyOf(tree, chains))
      const outcomes: Outcome[] = []
      for (let count = 0; count < 3; count++) outcomes.push(await door.ask(await RULES.quota.ask({})))
      expect(outcomes).toEqual(['answer', 'answer', 'not-allowed'])
    }
  })
})
