import { decodeGrant, encodeGrant, encodeGrantBody, type Grant, grantStatement, KmsError } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { createSigner, curve, grantedItem, requestOf } from '../serve/pipeline.fixture.ts'
import { createWallet, type StatementSigner } from '../serve/requester.fixture.ts'
import type { ContractWallets } from './contract-wallet.ts'
import type { RuleVerdict } from './decision.ts'
import { inputOf } from './decision-input.fixture.ts'
import { createGrantRule } from './grant-rule.ts'
import { createSignatureVerifier, type SignatureVerifier } from './signature-verifier.ts'

const item = grantedItem()
const fields = decodeGrant(curve, item.grant)

/** The grant of the test's item, issued in the name of one wallet and signed by another. */
async function grantBy(issuer: StatementSigner, signer: StatementSigner = issuer): Promise<Grant> {
  const body = encodeGrantBody(fields)
  const signature = await signer.sign(grantStatement(fields, body))
  return decodeGrant(curve, encodeGrant({ body, issuer: issuer.id, signature }))
}

async function judge(
  issuer: StatementSigner,
  grants: readonly Grant[],
  wallets?: ContractWallets,
): Promise<RuleVerdict> {
  const signatures = createSignatureVerifier({ maxKeys: 4, ...(wallets && { wallets }) })
  const rule = createGrantRule({ issuers: [issuer.id], signatures })
  return rule.decide(inputOf({ item, grants }), { handleBound: false })
}

describe('a grant issued by a wallet', () => {
  const issuer = createWallet()
  const yes = { kind: 'yes', bindsPoint: true, bindsHandle: true, by: { issuer: issuer.id, grantId: fields.grantId } }

  it('allows what it says when the wallet is listed and signed it', async () => {
    expect(await judge(issuer, [await grantBy(issuer)])).toEqual(yes)
    expect(await judge(createWallet(), [await grantBy(issuer)])).toMatchObject({ reason: 'issuer-not-listed' })
    expect(await judge(issuer, [await grantBy(issuer, createWallet())])).toMatchObject({ reason: 'grant-signature' })
  })

  it('allows what a contract accepts; is undecided while its chain is away, unless another grant says yes', async () => {
    const signed = await grantBy(issuer, createWallet())
    expect(await judge(issuer, [signed], { accepts: async () => true })).toEqual(yes)
    expect(await judge(issuer, [signed], { accepts: async () => false })).toMatchObject({ reason: 'grant-signature' })
    const away: ContractWallets = { accepts: () => Promise.reject(new KmsError('chain-unavailable', 'test')) }
    const other = decodeGrant(curve, grantedItem({ chainId: 7 }, createSigner()).grant)
    expect(await judge(issuer, [other, signed], away)).toEqual({
      kind: 'no',
      reason: 'chain-unavailable',
      undecided: true,
    })
    expect(await judge(issuer, [signed, await grantBy(issuer)], away)).toEqual(yes)
  })

  it('is verified once, for however many items of a request', async () => {
    let verifications = 0
    const verifier = createSignatureVerifier({ maxKeys: 4 })
    const signatures: SignatureVerifier = {
      verify: (...question) => {
        verifications++
        return verifier.verify(...question)
      },
    }
    const rule = createGrantRule({ issuers: [issuer.id], signatures })
    const input = inputOf({ item, grants: [await grantBy(issuer)] })
    for (let n = 0; n < 5; n++) expect(await rule.decide(input, { handleBound: false })).toEqual(yes)
    expect(verifications).toBe(1)
  })

  it('a request full of forged ones costs four looks, and an honest one beside it counts', async () => {
    let verifications = 0
    const verifier = createSignatureVerifier({ maxKeys: 4 })
    const signatures: SignatureVerifier = {
      verify: (...question) => {
        verifications++
        return verifier.verify(...question)
      },
    }
    const rule = createGrantRule({ issuers: [issuer.id], signatures })
    const request = requestOf()
    const ask = async (grant: Grant): Promise<RuleVerdict> =>
      rule.decide(inputOf({ request, item, grants: [grant] }), { handleBound: false })
    const honest = await grantBy(issuer)
    expect(await ask(honest)).toEqual(yes)
    const forgers = Array.from({ length: 12 }, () => createWallet())
    const verdicts: RuleVerdict[] = []
    for (const forger of forgers) verdicts.push(await ask(await grantBy(issuer, forger)))
    expect(verdicts.slice(0, 4)).toEqual(Array.from({ length: 4 }, () => ({ kind: 'no', reason: 'grant-signature' })))
    expect(verdicts[11]).toEqual({ kind: 'no', reason: 'too-many-forged-grants' })
    expect(verifications).toBe(5)
    expect(await ask(honest)).toEqual(yes)
    const other = inputOf({ request: requestOf(), item, grants: [await grantBy(issuer)] })
    expect(await rule.decide(other, { handleBound: false })).toEqual(yes)
  })
})
