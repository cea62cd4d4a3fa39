import { hexToBytes } from '@noble/hashes/utils.js'
import {
  encodeNoxAuthorization,
  itemPoint,
  noxDelegateTypedData,
  type RequestItem,
  type RequestItemV1,
  type TypedData,
} from '@tkms/dkg'
import { privateKeyToAccount, generatePrivateKey } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createChainReader } from '../../packages/kms-node/src/chain/chain-reader.ts'
import {
  type Behaviour,
  deadEndpoint,
  fails,
  hangs,
  returns,
  send,
  startEndpoint,
  TRUE_WORD,
} from '../../packages/kms-node/src/chain/endpoints.fixture.ts'
import { createContractWallets } from '../../packages/kms-node/src/policy/contract-wallet.ts'
import { createSignatureVerifier } from '../../packages/kms-node/src/policy/signature-verifier.ts'
import {
  alice,
  createTestPipeline,
  grantedItem,
  issuer,
  itemFor,
  policyOf,
  requestOf,
  spki,
} from '../../packages/kms-node/src/serve/pipeline.fixture.ts'
import type { DelegationResult } from '../../packages/kms-node/src/serve/pipeline.ts'
import { authorizeAs, createWallet, type StatementSigner } from '../../packages/kms-node/src/serve/requester.fixture.ts'
import { createRequesterVerifier } from '../../packages/kms-node/src/serve/requester.ts'
import { type Deployed, type LocalChain, startLocalChain } from '../support/local-chain.ts'

/** Policies that ask a real contract on a real chain, through the whole serving path of a node. */

const CHAIN = 421_614
let chain: LocalChain
let handles: Deployed
beforeAll(async () => {
  chain = await startLocalChain(CHAIN)
  handles = await chain.deploy('Handles')
})
afterAll(() => chain.stop())

/** Passes the call on to the chain, as an honest endpoint does. */
const honest: Behaviour = (call, response) => {
  const request = { method: 'POST', body: JSON.stringify(call), headers: { 'content-type': 'application/json' } }
  void fetch(chain.url, request)
    .then((reply) => reply.text())
    .then((text) => send(response, text))
}

type Ask = (signer: StatementSigner, item: RequestItem) => Promise<DelegationResult | string>

interface Asked {
  readonly envelopes?: 'v1'
  readonly rpc?: readonly string[]
  readonly timeoutMs?: number
  readonly wallets?: boolean
}

/** A node that reads the chain at these endpoints. @returns asks it; 'answer', or the code of the refusal and the reason in its log */
async function nodeWith(
  tree: object,
  { envelopes, rpc = [chain.url], timeoutMs = 5_000, wallets = false }: Asked = {},
): Promise<Ask> {
  const chains = await createChainReader({ [CHAIN]: { rpc, timeoutMs } })
  const contractWallets = wallets ? { wallets: createContractWallets(chains, CHAIN) } : {}
  const signatures = createSignatureVerifier({ maxKeys: 16, ...contractWallets })
  const requesters = createRequesterVerifier({ signatures, maxSessions: 16 })
  const { pipeline, events } = createTestPipeline({ policy: policyOf(tree, chains, envelopes), requesters })
  return async (signer, item) => {
    const authorization = await authorizeAs(signer, requestOf({ publicKeyId: signer.id, items: [item] }))
    const call = { remote: 'test', address: '192.0.2.1', signal: new AbortController().signal }
    const result = await pipeline.handle(authorization, call)
    if (result.kind === 'answer') return 'answer'
    return `${result.code} ${events.at(-1)?.reason ?? ''}`.trim()
  }
}

/** A v2 item whose label names nobody, on the chain. */
const item = (): RequestItem => itemFor(new Uint8Array(0), CHAIN)
const handleOf = (asked: RequestItem): `0x${string}` =>
  `0x${Buffer.from(asked.version === 2 ? asked.header.label.handle : asked.handle).toString('hex')}`
const onchain = (changes: object = {}): object => ({
  rule: 'onchain',
  chain: CHAIN,
  contract: handles.address,
  ...changes,
})

describe('onchain', () => {
  it('follows the contract: a viewer may, until it may no longer, and nobody else', async () => {
    const [viewer, stranger] = [createWallet(), createWallet()]
    const ask = await nodeWith(onchain())
    const asked = item()
    expect(await ask(viewer, asked)).toBe('not-allowed onchain:view-says-no')
    await handles.write('setViewer', handleOf(asked), viewer.hex, true)
    expect(await ask(viewer, asked)).toBe('answer')
    expect(await ask(stranger, asked)).toBe('not-allowed onchain:view-says-no')
    expect(await ask(viewer, item())).toBe('not-allowed onchain:view-says-no')
    await handles.write('setViewer', handleOf(asked), viewer.hex, false)
    expect(await ask(viewer, asked)).toBe('not-allowed onchain:view-says-no')
  })

  it('takes no handle of a v1 item on trust, even from a viewer of that handle', async () => {
    const viewer = createWallet()
    const K = itemPoint(item())
    const bare: RequestItemV1 = {
      version: 1,
      K,
      chainId: CHAIN,
      handle: new Uint8Array(32).fill(3),
      grant: new Uint8Array(0),
    }
    await handles.write('setViewer', handleOf(bare), viewer.hex, true)
    expect(await (await nodeWith(onchain(), { envelopes: 'v1' }))(viewer, bare)).toBe(
      'not-allowed onchain:handle-not-bound',
    )

    const granted = { ...grantedItem({ chainId: CHAIN, requester: viewer.id }), chainId: CHAIN }
    const both = await nodeWith({ all: [{ rule: 'grant', issuers: [issuer.id] }, onchain()] }, { envelopes: 'v1' })
    expect(await both(viewer, granted)).toBe('not-allowed onchain:view-says-no')
    await handles.write('setViewer', handleOf(granted), viewer.hex, true)
    expect(await both(viewer, granted)).toBe('answer')
    expect(await both(viewer, { ...granted, handle: bare.handle })).toBe('not-allowed grant:grant-for-another-handle')
  })

  it('opens to everybody what the contract makes public', async () => {
    const ask = await nodeWith(onchain({ view: 'isPubliclyDecryptable(bytes32)', args: ['handle'] }))
    const asked = item()
    const byKey = { id: alice.id, sign: async ({ message }: { readonly message: Uint8Array }) => alice.sign(message) }
    expect(await ask(byKey, asked)).toBe('not-allowed onchain:view-says-no')
    await handles.write('publish', handleOf(asked))
    expect(await ask(byKey, asked)).toBe('answer')
  })

  it.each([
    ['reverts', 'not-allowed onchain:view-reverted'],
    ['panics', 'not-allowed onchain:view-reverted'],
    ['two', 'not-allowed onchain:view-gave-no-bool'],
    ['twoWords', 'not-allowed onchain:view-gave-no-bool'],
    ['nothing', 'not-allowed onchain:view-gave-no-bool'],
    ['isNotThere', 'not-allowed onchain:view-reverted'],
  ])('hears no yes from a view that answers otherwise: %s', async (name, refusal) => {
    const ask = await nodeWith(onchain({ view: `${name}(bytes32)`, args: ['handle'] }))
    expect(await ask(createWallet(), item())).toBe(refusal)
  })

  it('hears no yes where there is no contract', async () => {
    const ask = await nodeWith(onchain({ contract: `0x${'de'.repeat(20)}` }))
    expect(await ask(createWallet(), item())).toBe('not-allowed onchain:view-gave-no-bool')
  })
})

describe('endpoints of a chain', () => {
  const liar = returns(TRUE_WORD)
  const garbage: Behaviour = (_call, response) => send(response, 'no JSON')
  const huge: Behaviour = (_call, response) => send(response, `{"result":"${TRUE_WORD}${'00'.repeat(100_000)}"}`)
  it.each<[string, Behaviour]>([
    ['lies', liar],
    ['answers garbage', garbage],
    ['answers hugely', huge],
    ['hangs', hangs],
    ['fails', fails(-32_603, 'internal error')],
  ])('one of three that %s changes nothing, one of two keeps everybody out', async (_what, behaviour) => {
    const [bad, good, other] = await Promise.all([
      startEndpoint(behaviour),
      startEndpoint(honest),
      startEndpoint(honest),
    ])
    const [viewer, stranger] = [createWallet(), createWallet()]
    const asked = item()
    await handles.write('setViewer', handleOf(asked), viewer.hex, true)
    const three = await nodeWith(onchain(), { rpc: [bad.url, good.url, other.url] })
    expect([await three(viewer, asked), await three(stranger, asked)]).toEqual([
      'answer',
      'not-allowed onchain:view-says-no',
    ])
    const two = await nodeWith(onchain(), { rpc: [bad.url, good.url], timeoutMs: 1_500 })
    expect(await two(stranger, asked)).toBe('policy-unavailable onchain:chain-unavailable')
  })

  it('one that is away is done without, and all that are away keep everybody out', async () => {
    const [dead, gone, good, other] = [
      await deadEndpoint(),
      await deadEndpoint(),
      await startEndpoint(honest),
      await startEndpoint(honest),
    ]
    const viewer = createWallet()
    const asked = item()
    await handles.write('setViewer', handleOf(asked), viewer.hex, true)
    expect(await (await nodeWith(onchain(), { rpc: [dead, good.url, other.url] }))(viewer, asked)).toBe('answer')
    const none = await nodeWith(onchain(), { rpc: [dead, gone] })
    expect(await none(viewer, asked)).toBe('policy-unavailable onchain:chain-unavailable')
  })
})

describe('contract wallets', () => {
  it('ask with what their owner signed, as long as it is their owner', async () => {
    const [owner, next] = [createWallet(), createWallet()]
    const wallet = await chain.deploy('Wallet', owner.hex)
    const id = `eip712:${wallet.address.toLowerCase()}`
    const as = (signer: StatementSigner): StatementSigner => ({ id, sign: signer.sign })
    const policy = { all: [onchain()] }
    const asked = item()
    await handles.write('setViewer', handleOf(asked), wallet.address, true)
    const ask = await nodeWith(policy, { wallets: true })
    expect([await ask(as(owner), asked), await ask(as(next), asked)]).toEqual(['answer', 'bad-signature'])
    await wallet.write('setOwner', next.hex)
    expect([await ask(as(owner), asked), await ask(as(next), asked)]).toEqual(['bad-signature', 'answer'])
    const short: StatementSigner = { id, sign: async () => new Uint8Array(64) }
    expect(await ask(short, asked)).toBe('bad-signature')
    const away = await nodeWith(policy, { wallets: true, rpc: [await deadEndpoint()] })
    expect(await away(as(next), asked)).toMatch(/^policy-unavailable/)
    const without = await nodeWith(policy)
    expect(await without(as(next), asked)).toBe('bad-signature')
  })
})

describe('nox', () => {
  it('takes the gateway that the contract names now', async () => {
    const [gateway, next] = [privateKeyToAccount(generatePrivateKey()), privateKeyToAccount(generatePrivateKey())]
    const K = itemPoint(item())
    const text = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString('hex')}`
    const itemBy = async (wallet: typeof gateway): Promise<RequestItemV1> => {
      const fields = { chainId: CHAIN, ephemeralPubKey: text(K), targetPubKey: text(spki) }
      const typed: TypedData = noxDelegateTypedData(fields)
      const signature = hexToBytes((await wallet.signTypedData({ ...typed })).slice(2))
      const grant = encodeNoxAuthorization({ ...fields, signature })
      return { version: 1, K, chainId: CHAIN, handle: new Uint8Array(32), grant }
    }
    const nox = { rule: 'nox', chain: CHAIN, contract: handles.address }
    const [first, second] = [await itemBy(gateway), await itemBy(next)]
    expect(await (await nodeWith(nox, { envelopes: 'v1' }))(createWallet(), first)).toBe('not-allowed nox:no-gateway')
    await handles.write('setGateway', gateway.address)
    const ask = await nodeWith(nox, { envelopes: 'v1' })
    expect([await ask(createWallet(), first), await ask(createWallet(), second)]).toEqual([
      'answer',
      'not-allowed nox:not-signed-by-the-gateway',
    ])
    await handles.write('setGateway', next.address)
    const later = await nodeWith(nox, { envelopes: 'v1' })
    expect([await later(createWallet(), first), await later(createWallet(), second)]).toEqual([
      'not-allowed nox:not-signed-by-the-gateway',
      'answer',
    ])
  })
})
