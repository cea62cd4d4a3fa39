import { sha256 } from '@noble/hashes/sha2.js'
import { hexToBytes } from '@noble/hashes/utils.js'
import { noxDataAccessTypedData, type RequestItemV1 } from '@tkms/dkg'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { expect, it } from 'vitest'
import { fakeChain, word } from '../chain/fake-chain.fixture.ts'
import type { Decision } from '../policy/decision.ts'
import { inputOf } from '../policy/decision-input.fixture.ts'
import { createSigner, NOW_SECONDS, policyOf } from '../serve/pipeline.fixture.ts'
import { CHAIN, fields, gateway, K, serveChain } from './served-chain.fixture.ts'

const COMBINER = createSigner().id
const contract = `0x${'c0'.repeat(20)}` as const
const handle = `0x${'0a'.repeat(32)}`
const IS_VIEWER = '02d0e66e'
const user = privateKeyToAccount(generatePrivateKey())

/** What the SDK of Nox signs and sends to its gateway, and the gateway sends on. */
async function userAuthorization(encryptionPubKey = fields.targetPubKey): Promise<object> {
  const payload = {
    userAddress: user.address,
    encryptionPubKey,
    notBefore: NOW_SECONDS - 60,
    expiresAt: NOW_SECONDS + 3540,
  }
  const address = hexToBytes(user.address.slice(2))
  const data = noxDataAccessTypedData({ ...payload, address }, { chainId: CHAIN, contract })
  const { domain, types, primaryType, message } = data
  return { payload, signature: await user.signTypedData({ domain, types, primaryType, message } as never) }
}

/** What a node says to the question that a combiner asks when it is asked this. */
async function decide(more: object, isViewer = word(1)): Promise<Decision> {
  const served = await serveChain()
  expect(await served.delegate({ keys: { ...fields, ...more } })).toMatchObject([200, 'application/json', {}])
  const [question] = served.asked
  if (question === undefined) throw new Error('the cluster was not asked')
  const item: RequestItemV1 = { version: 1, K, chainId: CHAIN, handle: question.handle, grant: question.grant }
  const rule = { rule: 'nox', chain: CHAIN, gateway: gateway.address, contract, user: 'viewer', combiners: [COMBINER] }
  const spkiOfCombiner = sha256(new Uint8Array(294))
  return policyOf(rule, fakeChain(CHAIN, { [IS_VIEWER]: isViewer }), 'v1').decide(
    'k',
    inputOf({ item, principal: undefined, requesterId: COMBINER, recipientSpkiHash: spkiOfCombiner }),
  )
}
const refused = (reason: string): unknown => expect.objectContaining({ refusals: [{ rule: 'nox', reason }] })

it('lets nodes ask for the word of the user, where the gateway sends it on', async () => {
  expect(await decide({ handle, userAuthorization: await userAuthorization() })).toMatchObject({ allowed: true })
  expect(await decide({})).toEqual(refused('no-user-authorization'))
  const elsewhere = await userAuthorization(fields.targetPubKey.replace(/..$/, '00'))
  expect(await decide({ handle, userAuthorization: elsewhere })).toEqual(refused('user-for-another-recipient'))
  expect(await decide({ handle, userAuthorization: await userAuthorization() }, word(0))).toMatchObject({
    allowed: false,
  })
})
