import { hexToBytes } from '@noble/hashes/utils.js'
import { decodeNoxAuthorization, type Secret } from '@tkms/dkg'
import { type NodeFailureCode, QuorumError } from '@tkms/kms-client'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { recoverTypedDataAddress } from 'viem/utils'
import { describe, expect, it } from 'vitest'
import {
  CHAIN,
  fields,
  gateway,
  hexOf,
  K,
  openBox,
  type Question,
  rsaKey,
  SALT,
  type Served,
  serveChain,
  sharedSecret,
  signDelegate,
  walletAccount,
} from './served-chain.fixture.ts'

const JSON_TYPE = 'application/json'
const TEXT_TYPE = 'text/plain; charset=utf-8'
const json = { 'content-type': JSON_TYPE }
const signed = async (keys: typeof fields, account = gateway, chainId = CHAIN): Promise<Question> => ({
  keys,
  headers: { ...json, authorization: `Bearer ${await signDelegate(keys, account, chainId)}` },
})
const error = (status: number, text: string): readonly unknown[] => [status, JSON_TYPE, JSON.stringify({ error: text })]
const upper = (text: string): string => `0x${text.slice(2).toUpperCase()}`

async function answerOf(
  served: Served,
  question: Question = {},
): Promise<{ encryptedSharedSecret: string; proof: string }> {
  const [status, type, body] = await served.delegate(question)
  expect([status, type]).toEqual([200, JSON_TYPE])
  const answer = JSON.parse(body) as { encryptedSharedSecret: string; proof: string }
  expect(body).toBe(JSON.stringify({ encryptedSharedSecret: answer.encryptedSharedSecret, proof: answer.proof }))
  return answer
}

const domain = { name: 'ProtocolDelegate', version: '1', chainId: CHAIN } as const
const proofSigner = ({ encryptedSharedSecret, proof }: { encryptedSharedSecret: string; proof: string }, salt = SALT) =>
  recoverTypedDataAddress({
    domain: { ...domain, salt: salt as `0x${string}` },
    types: { DelegateResponseProof: [{ name: 'encryptedSharedSecret', type: 'string' }] },
    primaryType: 'DelegateResponseProof',
    message: { encryptedSharedSecret },
    signature: proof as `0x${string}`,
  })

describe('POST /v0/delegate', () => {
  it('answers the gateway: 32 bytes of x in one box, and a proof tied to the salt', async () => {
    const served = await serveChain()
    const answer = await answerOf(served)
    expect(answer.encryptedSharedSecret).toMatch(/^0x[0-9a-f]{512}$/)
    expect(openBox(answer.encryptedSharedSecret)).toBe(sharedSecret)
    expect(answer.proof).toMatch(/^0x[0-9a-f]{128}(?:1b|1c)$/)
    expect(await proofSigner(answer)).toBe(walletAccount.address)
    expect(await proofSigner(answer, `0x${'00'.repeat(32)}`)).not.toBe(walletAccount.address)
  })

  it('boxes to a key of 4096 bits, and takes the texts as they were signed', async () => {
    const served = await serveChain()
    const large = rsaKey(4096)
    const answer = await answerOf(served, await signed({ ...fields, targetPubKey: hexOf(large.spki) }))
    expect(answer.encryptedSharedSecret).toHaveLength(2 + 1024)
    expect(openBox(answer.encryptedSharedSecret, large.privateKey)).toBe(sharedSecret)
    const keys = { ephemeralPubKey: upper(fields.ephemeralPubKey), targetPubKey: upper(fields.targetPubKey) }
    expect(openBox((await answerOf(served, await signed(keys))).encryptedSharedSecret)).toBe(sharedSecret)
    expect(await served.delegate({ keys })).toMatchObject([401, JSON_TYPE, {}])
  })

  it('hands the gateway word to the nodes, with no handle and no user', async () => {
    const served = await serveChain()
    await answerOf(served)
    const [question] = served.asked
    expect(question).toMatchObject({ K, handle: new Uint8Array(32) })
    const signature = hexToBytes((await signDelegate(fields)).slice(2))
    expect(decodeNoxAuthorization(question?.grant ?? new Uint8Array())).toEqual({
      chainId: CHAIN,
      ...fields,
      signature,
    })
  })

  it('hands on what the user signed, where a gateway sends it', async () => {
    const served = await serveChain()
    const payload = { userAddress: gateway.address, encryptionPubKey: fields.targetPubKey, notBefore: 5, expiresAt: 6 }
    const userAuthorization = { payload, signature: `0x${'07'.repeat(65)}` }
    await answerOf(served, { keys: { ...fields, handle: SALT, userAuthorization } })
    expect(served.asked[0]?.handle).toEqual(hexToBytes(SALT.slice(2)))
    expect(decodeNoxAuthorization(served.asked[0]?.grant ?? new Uint8Array()).user).toEqual({
      address: hexToBytes(gateway.address.slice(2)),
      encryptionPubKey: fields.targetPubKey,
      notBefore: 5,
      expiresAt: 6,
      signature: new Uint8Array(65).fill(7),
    })
    for (const keys of [
      { ...fields, userAuthorization },
      { ...fields, handle: SALT, userAuthorization: { payload } },
      { ...fields, handle: SALT, userAuthorization: { ...userAuthorization, payload: { ...payload, notBefore: '5' } } },
    ])
      expect(await served.delegate({ keys })).toMatchObject([422, TEXT_TYPE, {}])
    const notHex = { ...userAuthorization, payload: { ...payload, encryptionPubKey: 'key' } }
    expect(await served.delegate({ keys: { ...fields, handle: SALT, userAuthorization: notHex } })).toEqual(
      error(400, 'Cryptographic error: the encryptionPubKey of the user is not the hex of a key'),
    )
  })

  it('checks in the order of the single-key service', async () => {
    const served = await serveChain()
    const weak = rsaKey(1792)
    const off = `0x02${'ff'.repeat(32)}`
    // Everything is wrong at first; each step mends the first thing that was said.
    const steps: readonly (readonly [Question, readonly unknown[]])[] = [
      [
        { search: 'salt=1', body: '{', headers: {} },
        [400, TEXT_TYPE, 'Failed to deserialize query string: missing field `chain_id`'],
      ],
      [
        { search: 'chain_id=5', body: '{', headers: {} },
        [400, TEXT_TYPE, 'Failed to deserialize query string: missing field `salt`'],
      ],
      [
        { search: 'chain_id=5&salt=1', body: '{', headers: {} },
        [415, TEXT_TYPE, 'Expected request with `Content-Type: application/json`'],
      ],
      [
        { search: 'chain_id=5&salt=1', body: '{', headers: json },
        [400, TEXT_TYPE, 'Failed to parse the request body as JSON: expected a JSON object in UTF-8'],
      ],
      [
        { search: 'chain_id=5&salt=1', body: '{}', headers: json },
        [422, TEXT_TYPE, 'Failed to deserialize the JSON body into the target type: missing field `ephemeralPubKey`'],
      ],
      [
        { search: 'chain_id=5&salt=1', keys: { ephemeralPubKey: '', targetPubKey: '' }, headers: json },
        error(400, 'Invalid query parameters: Unknown Chain ID 5'),
      ],
      [
        { search: `chain_id=${CHAIN}&salt=0x5a`, keys: { ephemeralPubKey: '', targetPubKey: '' }, headers: json },
        error(400, 'Invalid query parameters: salt must be 32 bytes in hex'),
      ],
      [
        { keys: { ephemeralPubKey: '', targetPubKey: '' }, headers: json },
        error(401, 'Unauthorized: the Authorization header is missing'),
      ],
      [
        { keys: { ephemeralPubKey: '', targetPubKey: '' }, headers: { ...json, authorization: 'Basic 0x00' } },
        error(401, 'Unauthorized: the Authorization header is not "Bearer 0x" and a signature'),
      ],
      [
        { keys: { ephemeralPubKey: '', targetPubKey: '' }, headers: { ...json, authorization: 'Bearer 0x00' } },
        error(401, 'Unauthorized: the signature is not 65 bytes in hex'),
      ],
      [
        await signed({ ephemeralPubKey: '', targetPubKey: '' }),
        error(400, 'Cryptographic error: ephemeralPubKey must have 66 hex digits'),
      ],
      [
        await signed({ ephemeralPubKey: off, targetPubKey: '0x00' }),
        error(400, 'Cryptographic error: targetPubKey is too short'),
      ],
      [
        await signed({ ephemeralPubKey: off, targetPubKey: 'z'.repeat(600) }),
        error(400, 'Cryptographic error: ephemeralPubKey is not a point of secp256k1'),
      ],
      [
        await signed({ ...fields, targetPubKey: 'z'.repeat(600) }),
        error(400, 'Cryptographic error: targetPubKey is not hexadecimal'),
      ],
      [
        await signed({ ...fields, targetPubKey: hexOf(weak.spki) }),
        error(400, 'Cryptographic error: targetPubKey is refused: modulus-size'),
      ],
    ]
    for (const [question, expected] of steps) expect(await served.delegate(question)).toEqual(expected)
    expect(served.asked).toEqual([])
  })

  it('names both wallets when somebody else signed', async () => {
    const served = await serveChain()
    const other = privateKeyToAccount(generatePrivateKey())
    expect(await served.delegate(await signed(fields, other))).toEqual(
      error(401, `Unauthorized: signer ${other.address} does not match gateway ${gateway.address}`),
    )
    const [status, , body] = await served.delegate(await signed(fields, gateway, 1))
    expect([status, body]).toEqual([401, expect.stringMatching(/"Unauthorized: signer 0x.{40} does not match/)])
    const highV = `${(await signDelegate(fields)).slice(0, -2)}00`
    expect(await served.delegate({ headers: { ...json, authorization: `Bearer ${highV}` } })).toEqual(
      error(401, 'Unauthorized: the signature is not valid'),
    )
    expect(served.asked).toEqual([])
  })

  it('refuses RSA keys that the single-key service took', async () => {
    const served = await serveChain()
    const exponent3 = await signed({ ...fields, targetPubKey: hexOf(rsaKey(2048, 3).spki) })
    expect(await served.delegate(exponent3)).toEqual(
      error(400, 'Cryptographic error: targetPubKey is refused: exponent'),
    )
    const notRsa = await signed({ ...fields, targetPubKey: `0x${'00'.repeat(294)}` })
    expect(await served.delegate(notRsa)).toEqual(error(400, 'Cryptographic error: targetPubKey is refused: not-spki'))
    const long = await signed({ ...fields, targetPubKey: `0x${'00'.repeat(5000)}` })
    expect(await served.delegate(long)).toEqual(error(400, 'Cryptographic error: a public key is too long'))
  })

  it('reads query and content type as the single-key service does', async () => {
    const served = await serveChain()
    const bad = (detail: string): readonly unknown[] => [
      400,
      TEXT_TYPE,
      `Failed to deserialize query string: ${detail}`,
    ]
    for (const [search, expected] of [
      [`chain_id=&salt=${SALT}`, bad('chain_id: cannot parse integer from empty string')],
      [`chain_id=0x5&salt=${SALT}`, bad('chain_id: invalid digit found in string')],
      [`chain_id=-1&salt=${SALT}`, bad('chain_id: invalid digit found in string')],
      [`chain_id=4294967296&salt=${SALT}`, bad('chain_id: number too large to fit in target type')],
      [`chain_id=1&chain_id=2&salt=${SALT}`, bad('duplicate field `chain_id`')],
    ] as const)
      expect(await served.delegate({ search })).toEqual(expected)
    const authorization = `Bearer ${await signDelegate(fields)}`
    const withType = (type: string): Question => ({ headers: { 'content-type': type, authorization } })
    for (const type of ['application/json; charset=utf-8', 'application/cloudevents+json'])
      await answerOf(served, withType(type))
    expect(await served.delegate(withType('text/json'))).toMatchObject([415, TEXT_TYPE, {}])
    await answerOf(served, { search: `other=1&salt=${SALT}&chain_id=%2B${CHAIN}` })
  })

  it('takes a body of 2 MB and no more, whether its length is announced or not', async () => {
    const served = await serveChain()
    const padded = `${JSON.stringify(fields)}${' '.repeat(2 * 1024 * 1024 - JSON.stringify(fields).length)}`
    await answerOf(served, { body: padded })
    const tooLong = [413, TEXT_TYPE, 'Failed to buffer the request body: length limit exceeded']
    expect(await served.delegate({ body: `${padded} ` })).toEqual(tooLong)
  })

  it('says what it says when the cluster gives nothing', async () => {
    const causes = (code: NodeFailureCode) => [1, 2, 3].map((index) => ({ index, name: 'n', code, detail: 'd' }))
    const quorum = (code: NodeFailureCode): Error =>
      new QuorumError({ needed: 3, got: 0, causes: causes(code) } as never)
    const failing = (cause: Error) => serveChain({ answer: () => Promise.reject(cause) })
    expect(await (await failing(quorum('not-allowed'))).delegate()).toEqual(
      error(401, 'Unauthorized: the nodes of the cluster do not allow it'),
    )
    for (const cause of [quorum('unreachable'), quorum('destroyed'), new Error('anything')])
      expect(await (await failing(cause)).delegate()).toEqual(error(500, 'Storage error: the cluster did not answer'))
  })

  it('bounds what it asks at once', async () => {
    const { promise, resolve } = Promise.withResolvers<Secret>()
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    const served = await serveChain({
      maxRunning: 1,
      maxWaiting: 0,
      answer: () => {
        begin()
        return promise
      },
    })
    const first = served.delegate()
    await begun
    expect(await served.delegate()).toEqual(error(500, 'Storage error: too many requests are under way'))
    resolve({ use: (fn: (x: Uint8Array) => unknown) => fn(new Uint8Array(32)), destroy: () => undefined } as never)
    expect(await first).toMatchObject([200, JSON_TYPE, {}])
  })
})
