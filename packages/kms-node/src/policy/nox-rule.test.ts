import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import {
  encodeNoxAuthorization,
  itemPoint,
  type NoxAuthorization,
  noxDataAccessTypedData,
  noxDelegateTypedData,
  type NoxUserAuthorization,
  type RequestItemV1,
  type TypedData,
} from '@tkms/dkg'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import { type FakeChain, fakeChain, word } from '../chain/fake-chain.fixture.ts'
import { alice, createSigner, itemFor, NOW_SECONDS, policyOf, requestOf, spki } from '../serve/pipeline.fixture.ts'
import type { Decision, DecisionInput } from './decision.ts'
import { inputOf } from './decision-input.fixture.ts'

const CHAIN = 421_614
const GATEWAY = '116191b6'
const IS_VIEWER = '02d0e66e'
const IS_VALID_SIGNATURE = '1626ba7e'
const contract = `0x${'c0'.repeat(20)}` as const
const wallets = { gateway: privateKeyToAccount(generatePrivateKey()), user: privateKeyToAccount(generatePrivateKey()) }
const addressOf = (address: string): Uint8Array => hexToBytes(address.slice(2).toLowerCase())
const hexOf = (bytes: Uint8Array): string => `0x${bytesToHex(bytes)}`
const sign = async (wallet: keyof typeof wallets, data: TypedData): Promise<Uint8Array> => {
  const { domain, types, primaryType, message } = data
  const signature = await wallets[wallet].signTypedData({ domain, types, primaryType, message } as Parameters<
    (typeof wallets)['user']['signTypedData']
  >[0])
  return hexToBytes(signature.slice(2))
}

const K = itemPoint(itemFor(alice))
const combiner = createSigner()
const combinerKey = new Uint8Array(294).fill(5)
const fields = { chainId: CHAIN, ephemeralPubKey: hexOf(K), targetPubKey: hexOf(spki) }
const window = { notBefore: NOW_SECONDS - 60, expiresAt: NOW_SECONDS + 3540 }

async function authorization(changes: Partial<NoxAuthorization> = {}): Promise<NoxAuthorization> {
  const signed = { ...fields, ...changes }
  return { ...signed, signature: changes.signature ?? (await sign('gateway', noxDelegateTypedData(signed))) }
}
async function userOf(changes: Partial<NoxUserAuthorization> = {}): Promise<NoxUserAuthorization> {
  const signed = { address: addressOf(wallets.user.address), encryptionPubKey: hexOf(spki), ...window, ...changes }
  const data = noxDataAccessTypedData(signed, { chainId: CHAIN, contract })
  return { ...signed, signature: changes.signature ?? (await sign('user', data)) }
}
const itemOf = (nox: NoxAuthorization): RequestItemV1 => ({
  version: 1,
  K,
  chainId: CHAIN,
  handle: new Uint8Array(32).fill(7),
  grant: encodeNoxAuthorization(nox),
})
const refused = (reason: string, undecided?: true): Decision => ({
  allowed: false,
  refusals: [{ rule: 'nox', reason }],
  ...(undecided && { undecided }),
})
const gatewayId = `eip712:${wallets.gateway.address.toLowerCase()}`
/** With whose word it was, for the audit log. */
const yes = { allowed: true, rules: ['nox'], grants: [{ issuer: gatewayId }] }
const chainOf = (answers: Record<string, Uint8Array | string> = {}): FakeChain =>
  fakeChain(CHAIN, { [GATEWAY]: word(addressOf(wallets.gateway.address)), [IS_VIEWER]: word(1), ...answers })
const decide = (options: object, changes: Partial<DecisionInput>, chain = chainOf()): Promise<Decision> =>
  policyOf({ rule: 'nox', chain: CHAIN, gateway: wallets.gateway.address, ...options }, chain, 'v1').decide(
    'k',
    inputOf({ principal: undefined, requesterId: 'none', ...changes }),
  )

describe('nox rule', () => {
  it("says yes to the gateway's word for exactly this point and RSA key", async () => {
    const item = itemOf(await authorization())
    expect(await decide({}, { item })).toEqual({ ...yes, grants: [{ issuer: gatewayId, grantId: sha256(item.grant) }] })
    const upper = await authorization({ ephemeralPubKey: hexOf(K).toUpperCase().replace('0X', '0x') })
    expect(await decide({}, { item: itemOf(upper) })).toMatchObject(yes)
  })

  it('says no to everything else', async () => {
    const item = itemOf(await authorization())
    const { signature } = await authorization()
    const other = hexOf(itemPoint(itemFor(alice)))
    const cases: readonly (readonly [string, Partial<DecisionInput>])[] = [
      ['no-nox-authorization', { item: { ...item, grant: new Uint8Array(0) } }],
      ['no-nox-authorization', { item: { ...item, grant: item.grant.slice(1) } }],
      ['nox-for-another-chain', { item: { ...item, chainId: 0 } }],
      ['nox-for-another-chain', { item: itemOf(await authorization({ chainId: 1 })) }],
      ['nox-for-another-point', { item: { ...item, K: itemPoint(itemFor(alice)) } }],
      ['nox-for-another-point', { item: itemOf(await authorization({ ephemeralPubKey: other })) }],
      ['nox-for-another-recipient', { item, recipientSpkiHash: sha256(combinerKey) }],
      [
        'not-signed-by-the-gateway',
        { item: itemOf(await authorization({ signature: signature.with(0, (signature[0] ?? 0) ^ 1) })) },
      ],
      [
        'not-signed-by-the-gateway',
        { item: itemOf(await authorization({ ephemeralPubKey: hexOf(K).slice(2), signature })) },
      ],
    ]
    for (const [reason, changes] of cases) expect(await decide({}, changes)).toEqual(refused(reason))
    const stranger = { gateway: wallets.user.address }
    expect(await decide(stranger, { item })).toEqual(refused('not-signed-by-the-gateway'))
  })

  it('looks at four forgeries in a request and at no more', async () => {
    const policy = policyOf({ rule: 'nox', chain: CHAIN, gateway: wallets.gateway.address }, chainOf(), 'v1')
    const honest = itemOf(await authorization())
    const { signature } = await authorization()
    const forged = itemOf(await authorization({ signature: signature.with(0, (signature[0] ?? 0) ^ 1) }))
    const request = requestOf()
    const ask = (item: RequestItemV1, of = request): Promise<Decision> =>
      policy.decide('k', inputOf({ request: of, item }))
    for (let n = 0; n < 4; n++) expect(await ask(forged)).toEqual(refused('not-signed-by-the-gateway'))
    expect(await ask(honest)).toEqual(refused('too-many-forged-authorizations'))
    expect(await ask(honest, requestOf())).toMatchObject(yes)
  })

  it('lets a listed combiner have it boxed to its own key, and nobody else', async () => {
    const item = itemOf(await authorization())
    const changes = { item, recipientSpkiHash: sha256(combinerKey), requesterId: combiner.id }
    expect(await decide({ combiners: [combiner.id] }, changes)).toMatchObject(yes)
    expect(await decide({ combiners: [alice.id] }, changes)).toEqual(refused('nox-for-another-recipient'))
  })

  it('reads the gateway from the contract, once in a minute', async () => {
    const item = itemOf(await authorization())
    const chain = chainOf()
    const policy = policyOf({ rule: 'nox', chain: CHAIN, contract }, chain, 'v1')
    const at = (nowSeconds: number): Promise<Decision> => policy.decide('k', inputOf({ item, nowSeconds }))
    expect(await Promise.all([at(1000), at(1000), at(1059)])).toMatchObject([yes, yes, yes])
    expect(chain.queries).toHaveLength(1)
    expect([await at(1060), await at(10)]).toMatchObject([yes, yes])
    expect(chain.queries).toHaveLength(3)
  })

  it('fails closed while the gateway cannot be read, and asks again', async () => {
    const item = itemOf(await authorization())
    const answers: Record<string, Uint8Array | string> = { [GATEWAY]: 'chain-unavailable' }
    const policy = policyOf({ rule: 'nox', chain: CHAIN, contract }, fakeChain(CHAIN, answers), 'v1')
    expect(await policy.decide('k', inputOf({ item }))).toEqual(refused('chain-unavailable', true))
    answers[GATEWAY] = word(addressOf(wallets.gateway.address))
    expect(await policy.decide('k', inputOf({ item }))).toMatchObject(yes)
    for (const none of [word(0), 'chain-reverted', new Uint8Array(0), word(1).with(0, 1)])
      expect(await decide({ gateway: undefined, contract }, { item }, chainOf({ [GATEWAY]: none }))).toEqual(
        refused('no-gateway'),
      )
  })

  describe('asking for the user, too', () => {
    const options = { contract, user: 'authorization' }
    const withUser = async (changes: Partial<NoxUserAuthorization> = {}): Promise<Partial<DecisionInput>> => ({
      item: itemOf(await authorization({ user: await userOf(changes) })),
    })

    it('takes an authorization of this RSA key for now', async () => {
      expect(await decide(options, await withUser())).toMatchObject(yes)
      expect(await decide(options, { item: itemOf(await authorization()) })).toEqual(refused('no-user-authorization'))
      const cases: readonly (readonly [string, Partial<NoxUserAuthorization>])[] = [
        ['user-for-another-recipient', { encryptionPubKey: hexOf(combinerKey) }],
        ['user-window', { expiresAt: window.notBefore + 3601 }],
        ['user-window', { expiresAt: window.notBefore }],
        ['user-not-yet-valid', { notBefore: NOW_SECONDS + 61, expiresAt: NOW_SECONDS + 90 }],
        ['user-expired', { notBefore: NOW_SECONDS - 200, expiresAt: NOW_SECONDS - 61 }],
        ['user-signature', { address: addressOf(wallets.gateway.address) }],
        ['user-signature', { signature: new Uint8Array(65) }],
      ]
      for (const [reason, changes] of cases)
        expect(await decide(options, await withUser(changes))).toEqual(refused(reason))
    })

    it('takes the signature of a contract wallet from the chain', async () => {
      const input = await withUser({ address: new Uint8Array(20).fill(1), signature: new Uint8Array(200).fill(2) })
      const magic = new Uint8Array(32)
      magic.set(hexToBytes(IS_VALID_SIGNATURE))
      expect(await decide(options, input, chainOf({ [IS_VALID_SIGNATURE]: magic }))).toMatchObject(yes)
      expect(await decide(options, input, chainOf())).toEqual(refused('user-signature'))
      const away = chainOf({ [IS_VALID_SIGNATURE]: 'chain-unavailable' })
      expect(await decide(options, input, away)).toEqual(refused('chain-unavailable', true))
    })

    it('asks the contract whether the user may view the handle that a combiner names', async () => {
      const viewer = { contract, user: 'viewer', combiners: [combiner.id] }
      const asCombiner = { ...(await withUser()), recipientSpkiHash: sha256(combinerKey), requesterId: combiner.id }
      const chain = chainOf()
      expect(await decide(viewer, asCombiner, chain)).toMatchObject(yes)
      const [query] = chain.queries
      const asked = `${IS_VIEWER}${'07'.repeat(32)}${'00'.repeat(12)}${wallets.user.address.slice(2).toLowerCase()}`
      expect(bytesToHex(query?.data ?? new Uint8Array(0))).toBe(asked)
      expect(await decide(viewer, asCombiner, chainOf({ [IS_VIEWER]: word(0) }))).toEqual(refused('view-says-no'))
      expect(await decide(viewer, asCombiner, chainOf({ [IS_VIEWER]: 'chain-unavailable' }))).toEqual(
        refused('chain-unavailable', true),
      )
      expect(await decide(viewer, await withUser(), chainOf())).toEqual(refused('handle-not-bound'))
    })

    it('ties neither user nor handle to the point: the holder of the gateway key may name their own', async () => {
      const viewer = { contract, user: 'viewer', combiners: [combiner.id] }
      const ofSomebodyElse = itemPoint(itemFor(createSigner()))
      const signed = await authorization({ ephemeralPubKey: hexOf(ofSomebodyElse), user: await userOf() })
      const item = { ...itemOf(signed), K: ofSomebodyElse, handle: new Uint8Array(32).fill(8) }
      const asked = { item, recipientSpkiHash: sha256(combinerKey), requesterId: combiner.id }
      expect(await decide(viewer, asked)).toMatchObject({ allowed: true, rules: ['nox'] })
    })
  })

  it.each([
    ['envelopes of v2', { envelopes: 'v2' }],
    ['no chain', { chain: undefined }],
    ['neither gateway nor contract', { gateway: undefined }],
    ['a gateway that is no address', { gateway: 'alice' }],
    ['a contract that is no address', { contract: '0x00' }],
    ['a user check without the contract', { user: 'authorization' }],
    ['another user check', { contract, user: 'owner' }],
    ['a viewer, but no combiner to name the handle', { contract, user: 'viewer' }],
    ['combiners that are no keys', { combiners: ['none'] }],
    ['an unknown option', { wallet: contract }],
    ['a chain to read that node.yaml does not have', { chain: 1, gateway: undefined, contract }],
  ])('is refused with %s', (_what, changes) => {
    const tree = { rule: 'nox', chain: CHAIN, gateway: wallets.gateway.address, ...changes }
    expect(() => policyOf(tree, chainOf(), 'v1')).toThrow(expect.objectContaining({ code: 'bad-config-file' }))
  })
})
