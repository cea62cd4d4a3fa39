import { encodeViewCall, parseContractView } from './contract-view.ts'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { Principal } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import type { ChainReader } from '../chain/chain-reader.ts'
import { type FakeChain, fakeChain, word } from '../chain/fake-chain.fixture.ts'
import { alice, grantedItem, issuer, itemFor, policyOf } from '../serve/pipeline.fixture.ts'
import type { Decision } from './decision.ts'
import { inputOf } from './decision-input.fixture.ts'

const CHAIN = 421_614
const contract = `0x${'c0'.repeat(20)}`
const account = new Uint8Array(20).fill(0xaa)
const principal: Principal = { kind: 'ethereum', address: account }
const onchain = { rule: 'onchain', chain: CHAIN, contract }
const grant = { rule: 'grant', issuers: [issuer.id] }

const chainThat = (answer: Uint8Array | string): FakeChain => fakeChain(CHAIN, { '*': answer })
const refused = (reason: string, undecided?: true): Decision => ({
  allowed: false,
  refusals: [{ rule: 'onchain', reason }],
  ...(undecided && { undecided }),
})
const item = { ...itemFor(alice) }
const onChain = { ...item, header: { ...item.header, label: { ...item.header.label, chainId: CHAIN } } }

describe('onchain rule', () => {
  it('asks the contract about the handle of the label and the requester, each time', async () => {
    const chain = chainThat(word(1))
    const policy = policyOf(onchain, chain)
    const input = inputOf({ item: onChain, principal })
    for (let n = 0; n < 2; n++) expect(await policy.decide('k', input)).toEqual({ allowed: true, rules: ['onchain'] })
    const view = parseContractView('isViewer(bytes32,address)', ['handle', 'account'])
    if (typeof view === 'string') throw new Error(view)
    const { handle } = onChain.header.label
    const ids = { keyId: new Uint8Array(32), spkiHash: new Uint8Array(32), chainId: CHAIN }
    const data = encodeViewCall(view, { ...ids, handle, account })
    expect(chain.queries).toMatchObject([
      { chainId: CHAIN, to: contract, data, signal: input.signal },
      { chainId: CHAIN, to: contract, data },
    ])
  })

  it('says yes for true alone', async () => {
    const input = inputOf({ item: onChain, principal })
    const decide = (chain: ChainReader): Promise<Decision> => policyOf(onchain, chain).decide('k', input)
    expect(await decide(chainThat(word(0)))).toEqual(refused('view-says-no'))
    expect(await decide(chainThat(word(2)))).toEqual(refused('view-gave-no-bool'))
    expect(await decide(chainThat(new Uint8Array(0)))).toEqual(refused('view-gave-no-bool'))
    expect(await decide(chainThat('chain-reverted'))).toEqual(refused('view-reverted'))
    expect(await decide(chainThat('chain-unavailable'))).toEqual(refused('chain-unavailable', true))
  })

  it('is for Ethereum requesters where the view takes an account', async () => {
    const chain = chainThat(word(1))
    for (const other of [undefined, { kind: 'ed25519', key: alice.publicKey } as const])
      expect(await policyOf(onchain, chain).decide('k', inputOf({ item: onChain, principal: other }))).toEqual(
        refused('not-an-ethereum-requester'),
      )
    expect(chain.queries).toEqual([])
    const open = { ...onchain, view: 'isPubliclyDecryptable(bytes32)', args: ['handle'] }
    expect(await policyOf(open, chain).decide('k', inputOf({ item: onChain }))).toMatchObject({ allowed: true })
  })

  it('never takes the handle of a v1 item on trust', async () => {
    const chain = chainThat(word(1))
    const bare = { ...grantedItem(), chainId: CHAIN, grant: new Uint8Array(0) }
    const input = inputOf({ item: bare, principal })
    expect(await policyOf(onchain, chain, 'v1').decide('k', input)).toEqual(refused('handle-not-bound'))
    const either = { any: [grant, onchain] }
    expect(await policyOf(either, chain, 'v1').decide('k', input)).toMatchObject({ allowed: false })
    const byChain = { ...onchain, view: 'open(uint256,address)', args: ['chainId', 'account'] }
    expect(await policyOf(byChain, chain, 'v1').decide('k', input)).toEqual(refused('handle-not-bound'))
    expect(chain.queries).toEqual([])
  })

  it('takes it from a grant that was verified before it in the same "all"', async () => {
    const chain = chainThat(word(1))
    const granted = inputOf({ item: { ...grantedItem({ chainId: CHAIN }), chainId: CHAIN }, principal })
    const decide = (tree: object): Promise<Decision> => policyOf(tree, chain, 'v1').decide('k', granted)
    expect(await decide({ all: [grant, onchain] })).toMatchObject({ allowed: true, rules: ['grant', 'onchain'] })
    expect(await decide({ all: [{ any: [{ rule: 'owner' }, grant] }, { all: [onchain] }] })).toMatchObject({
      allowed: true,
    })
    expect(chain.queries).toHaveLength(2)
    expect(await decide({ all: [onchain, grant] })).toEqual(refused('handle-not-bound'))
    expect(await decide({ any: [{ all: [grant, { rule: 'owner' }] }, onchain] })).toMatchObject({ allowed: false })
    expect(chain.queries).toHaveLength(2)
  })

  it('says who may, not which K: for a v1 item somebody must have named that', async () => {
    const member = { ...onchain, view: 'isMember(address)', args: ['account'] }
    const decide = (tree: object, changes: object, chain = chainThat(word(1))): Promise<Decision> =>
      policyOf(tree, chain, 'v1').decide('k', inputOf({ item: { ...grantedItem(), ...changes }, principal }))
    const nothing = { grant: new Uint8Array(0) }
    const unbound = { allowed: false, refusals: [{ rule: 'policy', reason: 'point-not-bound' }] }
    for (const tree of [member, { any: [member, grant] }, { all: [member, { any: [member, grant] }] }])
      expect(await decide(tree, nothing)).toEqual(unbound)
    // Whatever the order, the grant counts.
    expect(await decide({ any: [member, grant] }, {})).toMatchObject({ allowed: true, rules: ['grant'] })
    expect(await decide({ all: [member, { any: [member, grant] }] }, {})).toMatchObject({ allowed: true })
    expect(await decide({ all: [member, grant] }, {})).toMatchObject({ allowed: true, rules: ['onchain', 'grant'] })
    // A rule that could not find out might have bound it.
    const replies = [chainThat(word(1)), chainThat('chain-unavailable')]
    const failing: ChainReader = { has: () => true, call: (query) => (replies.shift() as FakeChain).call(query) }
    const bare = inputOf({ item: { ...grantedItem(), ...nothing }, principal })
    expect(await policyOf({ any: [member, member] }, failing, 'v1').decide('k', bare)).toEqual({
      ...unbound,
      undecided: true,
    })
    const { told } = await policyOf(member, chainThat(word(1)), 'v1').explain('k', bare)
    expect(told).toMatchObject({ kind: 'all', allowed: false, of: [{ rule: 'onchain' }, { rule: 'policy' }] })
  })

  it('does not ask one chain about the handle of another', async () => {
    const chain = chainThat(word(1))
    expect(await policyOf(onchain, chain).decide('k', inputOf({ item, principal }))).toEqual(
      refused('handle-of-another-chain'),
    )
    const member = { ...onchain, view: 'isMember(address)', args: ['account'] }
    expect(await policyOf(member, chain).decide('k', inputOf({ item, principal }))).toMatchObject({ allowed: true })
    expect(chain.queries.map(({ data }) => bytesToHex(data.subarray(16)))).toEqual([bytesToHex(account)])
  })

  it.each([
    ['no chain', { chain: undefined }],
    ['a chain that is no number', { chain: '421614' }],
    ['a chain that node.yaml does not have', { chain: 1 }],
    ['no contract', { contract: undefined }],
    ['a short contract', { contract: '0xc0' }],
    ['an unknown argument', { args: ['handle', 'owner'] }],
    ['arguments that do not fit the view', { args: ['account', 'handle'] }],
    ['a view without its types', { view: 'isViewer' }],
    ['an unknown option', { block: 'latest' }],
  ])('is refused with %s', (_what, changes) => {
    const chain = chainThat(word(1))
    expect(() => policyOf({ ...onchain, ...changes }, chain)).toThrow(
      expect.objectContaining({ code: 'bad-config-file' }),
    )
  })
})
