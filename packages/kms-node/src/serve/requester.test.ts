import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, hexToBytes } from '@noble/hashes/utils.js'
import {
  type Authorization,
  encodePolicy,
  encodeRequest,
  EVIDENCE_SESSION,
  KmsError,
  requestStatement,
  typedDataDigest,
} from '@tkms/dkg'
import { decodeFunctionData, hashTypedData, parseAbi } from 'viem'
import { describe, expect, it } from 'vitest'
import type { ChainReader } from '../chain/chain-reader.ts'
import { createContractWallets } from '../policy/contract-wallet.ts'
import type { Policy } from '../policy/policy.ts'
import { createSignatureVerifier } from '../policy/signature-verifier.ts'
import {
  alice,
  authorize,
  bytes32,
  clock,
  createSigner,
  createTestPipeline,
  itemFor,
  NOW_SECONDS,
  requestOf,
  signatures,
} from './pipeline.fixture.ts'
import type { DelegationPipeline, PipelineOptions } from './pipeline.ts'
import { createRequesterVerifier } from './requester.ts'
import { authorizeAs, authorizeInSession, byKey, createWallet, type SessionParts } from './requester.fixture.ts'

const call = { remote: 'test', address: '10.0.0.1', signal: new AbortController().signal }

/** A pipeline whose policy allows everything and notes who asked. */
function watched(overrides: Partial<PipelineOptions> = {}): { pipeline: DelegationPipeline; asked: unknown[] } {
  const asked: unknown[] = []
  const policy: Policy = {
    edition: 0,
    decide: async (_keyName, { requesterId, principal }) => {
      asked.push({ requesterId, principal })
      return { allowed: true, rules: ['test'] }
    },
    explain: () => Promise.reject(new Error('not asked here')),
  }
  return { pipeline: createTestPipeline({ policy, ...overrides }).pipeline, asked }
}

async function outcome(pipeline: DelegationPipeline, authorization: Authorization): Promise<string> {
  const result = await pipeline.handle(authorization, call)
  return result.kind === 'answer' ? 'answer' : result.code
}

describe('a wallet that asks', () => {
  const wallet = createWallet()
  const request = (): ReturnType<typeof requestOf> => requestOf({ publicKeyId: wallet.id })

  it('is known by its address, whatever its own library calls typed data', async () => {
    const { pipeline, asked } = watched()
    expect(await outcome(pipeline, await authorizeAs(wallet, request()))).toBe('answer')
    expect(asked).toEqual([{ requesterId: wallet.id, principal: { kind: 'ethereum', address: wallet.address } }])
    const made = request()
    const { typedData } = requestStatement(made, encodeRequest(made))
    expect(`0x${bytesToHex(typedDataDigest(typedData))}`).toBe(hashTypedData({ ...typedData }))
  })

  it('opens what a label names it for, and nothing else', async () => {
    const { pipeline } = createTestPipeline()
    const own = itemFor(encodePolicy({ kind: 'ethereum', address: wallet.address }))
    expect(await outcome(pipeline, await authorizeAs(wallet, { ...request(), items: [own] }))).toBe('answer')
    expect(await outcome(pipeline, await authorizeAs(wallet, request()))).toBe('not-allowed')
    expect(await outcome(pipeline, authorize(requestOf({ items: [own] })))).toBe('not-allowed')
  })

  const withSignature = async (change: (signature: Uint8Array) => Uint8Array): Promise<Authorization> => {
    const authorization = await authorizeAs(wallet, request())
    return { ...authorization, signature: change(authorization.signature) }
  }
  const order = BigInt('0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141')
  const highS = (signature: Uint8Array): Uint8Array => {
    const s = order - BigInt(`0x${bytesToHex(signature.slice(32, 64))}`)
    const v = signature[64] === 27 ? 28 : 27
    return concatBytes(signature.slice(0, 32), hexToBytes(s.toString(16).padStart(64, '0')), Uint8Array.of(v))
  }
  const cases: [string, () => Promise<Authorization>][] = [
    ['with a high s', () => withSignature(highS)],
    [
      'with v 0 or 1',
      () => withSignature((bytes) => concatBytes(bytes.slice(0, 64), Uint8Array.of((bytes[64] ?? 0) - 27))),
    ],
    ['with 64 bytes', () => withSignature((bytes) => bytes.slice(0, 64))],
    ['of another wallet', () => authorizeAs(createWallet(), request())],
    [
      'of another request',
      async () => ({ ...(await authorizeAs(wallet, request())), payload: encodeRequest(request()) }),
    ],
    ['of nobody', () => withSignature(() => new Uint8Array(0))],
  ]
  it.each(cases)('is refused with a signature %s', async (_what, make) => {
    const { pipeline, asked } = watched()
    expect(await outcome(pipeline, await make())).toBe('bad-signature')
    expect(asked).toEqual([])
  })
})

describe('a wallet that is a contract (ERC-1271)', () => {
  const contract = createWallet()
  const owner = createWallet()
  const abi = parseAbi(['function isValidSignature(bytes32 hash, bytes signature) view returns (bytes4)'])
  const YES = hexToBytes(`1626ba7e${'00'.repeat(28)}`)

  /** The verifier of a node that asks one chain, which answers as told. */
  function nodeWith(answer: (to: string, data: Uint8Array) => Uint8Array): ReturnType<typeof watched> {
    const chain: Pick<ChainReader, 'call'> = { call: async ({ to, data }) => answer(to, data) }
    const verifier = createSignatureVerifier({ maxKeys: 16, wallets: createContractWallets(chain, 421_614) })
    return watched({ requesters: createRequesterVerifier({ signatures: verifier, maxSessions: 16 }) })
  }
  const asContract = async (): Promise<Authorization> => authorizeAs(owner, requestOf({ publicKeyId: contract.id }))

  it('is asked for what its address did not sign itself', async () => {
    const questions: unknown[] = []
    const { pipeline, asked } = nodeWith((to, data) => {
      questions.push({ to, ...decodeFunctionData({ abi, data: `0x${bytesToHex(data)}` }) })
      return YES
    })
    const authorization = await asContract()
    expect(await outcome(pipeline, authorization)).toBe('answer')
    expect(asked).toMatchObject([{ requesterId: contract.id }])
    const signature = `0x${bytesToHex(authorization.signature)}`
    expect(questions).toMatchObject([
      {
        to: contract.hex,
        functionName: 'isValidSignature',
        args: [expect.stringMatching(/^0x[0-9a-f]{64}$/), signature],
      },
    ])
    expect(await outcome(pipeline, await authorizeAs(contract, requestOf({ publicKeyId: contract.id })))).toBe('answer')
    expect(questions).toHaveLength(1)
  })

  it.each([
    ['another word', hexToBytes(`ffffffff${'00'.repeat(28)}`)],
    ['the word and more', concatBytes(YES, new Uint8Array(32))],
    ['a word with something behind the magic', hexToBytes(`1626ba7e${'00'.repeat(27)}01`)],
    ['four bytes', hexToBytes('1626ba7e')],
    ['nothing, being none', new Uint8Array(0)],
  ])('accepts nothing when it answers %s', async (_what, answer) => {
    const { pipeline } = nodeWith(() => answer)
    expect(await outcome(pipeline, await asContract())).toBe('bad-signature')
  })

  const failing =
    (code: string): (() => never) =>
    () => {
      throw new KmsError(code, 'test')
    }
  it('accepts nothing when it reverts; while its chain is away nothing is decided', async () => {
    expect(await outcome(nodeWith(failing('chain-reverted')).pipeline, await asContract())).toBe('bad-signature')
    expect(await outcome(nodeWith(failing('chain-unavailable')).pipeline, await asContract())).toBe(
      'policy-unavailable',
    )
  })

  it('is not asked by a node that reads no chain', async () => {
    expect(await outcome(watched().pipeline, await asContract())).toBe('bad-signature')
  })
})

describe('a session', () => {
  it.each([
    ['an Ed25519 key', byKey(alice), { kind: 'ed25519', key: alice.publicKey }],
    ...[createWallet()].map((wallet) => ['a wallet', wallet, { kind: 'ethereum', address: wallet.address }] as const),
  ] as const)('lets whoever holds its key ask as %s that signed it', async (_what, principal, expected) => {
    const { pipeline, asked } = watched()
    expect(await outcome(pipeline, await authorizeInSession({ principal }))).toBe('answer')
    expect(asked).toEqual([{ requesterId: principal.id, principal: expected }])
  })

  it('gives the rights of its principal, no others', async () => {
    const { pipeline } = createTestPipeline()
    expect(await outcome(pipeline, await authorizeInSession())).toBe('answer')
    expect(await outcome(pipeline, await authorizeInSession({ principal: byKey(createSigner()) }))).toBe('not-allowed')
  })

  it('covers the handles that it names', async () => {
    const { pipeline } = watched()
    const item = itemFor(alice)
    const { chainId, handle } = item.header.label
    const handles = [{ chainId, handle }]
    expect(await outcome(pipeline, await authorizeInSession({ body: { handles }, request: { items: [item] } }))).toBe(
      'answer',
    )
    const more = { items: [item, itemFor(alice)] }
    expect(await outcome(pipeline, await authorizeInSession({ body: { handles }, request: more }))).toBe('bad-session')
    const elsewhere = [{ chainId: chainId + 1, handle }]
    const parts = { body: { handles: elsewhere }, request: { items: [item] } }
    expect(await outcome(pipeline, await authorizeInSession(parts))).toBe('bad-session')
  })

  const session = (bytes: Uint8Array): { kind: number; bytes: Uint8Array } => ({ kind: EVIDENCE_SESSION, bytes })
  const cases: [string, string, SessionParts][] = [
    ['of another cluster', 'bad-session', { body: { clusterId: bytes32(9) as never } }],
    ['of another key', 'bad-session', { body: { keyId: bytes32(9) as never } }],
    ['for another RSA key', 'bad-session', { body: { recipientSpkiHash: sha256(bytes32(9)) } }],
    ['that is over', 'bad-session', { body: { notBefore: NOW_SECONDS - 600, expiresAt: NOW_SECONDS - 61 } }],
    ['that has not begun', 'bad-session', { body: { notBefore: NOW_SECONDS + 61 } }],
    ['signed by another key', 'bad-session', { forger: byKey(createSigner()) }],
    ['signed by another wallet', 'bad-session', { principal: createWallet(), forger: createWallet() }],
    ['that did not come along', 'bad-session', { evidence: () => [] }],
    ['that came twice', 'bad-session', { evidence: (bytes) => [session(bytes), session(bytes)] }],
    ['that is cut short', 'bad-session', { evidence: (bytes) => [session(bytes.slice(0, -1))] }],
    ['that goes on', 'bad-session', { evidence: (bytes) => [session(concatBytes(bytes, bytes32(0)))] }],
    ['of another hash', 'bad-session', { request: { publicKeyId: `session:${'ab'.repeat(32)}` } }],
    ['whose request another key signed', 'bad-signature', { asker: createSigner() }],
    ['whose request its principal signed', 'bad-signature', { asker: alice }],
    ['with a session key of small order', 'bad-signature', { body: { sessionKey: bytes32(0).fill(1, 0, 1) } }],
  ]
  it.each(cases)('%s is refused as %s', async (_what, code, parts) => {
    const { pipeline, asked } = watched()
    expect(await outcome(pipeline, await authorizeInSession(parts))).toBe(code)
    expect(asked).toEqual([])
  })

  it('is not the signer of another session', async () => {
    const outer = await authorizeInSession()
    await expect(authorizeInSession({ body: { principal: outer.publicKeyId } })).rejects.toMatchObject({
      code: 'bad-request',
    })
    // What no honest encoder makes: the id of a session, of the same length as a key's id and more, in place of the principal.
    const crafted = (bytes: Uint8Array): Uint8Array => {
      const name = new TextEncoder().encode(outer.publicKeyId)
      const bodyLength = new DataView(bytes.buffer).getUint32(0)
      const body = concatBytes(
        bytes.slice(4, 133),
        Uint8Array.of(0, 0, 0, name.length),
        name,
        bytes.slice(137 + alice.id.length, 4 + bodyLength),
      )
      return concatBytes(Uint8Array.of(0, 0, body.length >> 8, body.length & 255), body, bytes.slice(4 + bodyLength))
    }
    const { pipeline } = watched()
    const inner = await authorizeInSession({ evidence: (bytes) => [session(crafted(bytes))] })
    expect(await outcome(pipeline, inner)).toBe('bad-session')
  })

  it('is verified again after a minute, and known by all its bytes before', async () => {
    let verifications = 0
    let nowMs = NOW_SECONDS * 1000
    const counting = createRequesterVerifier({
      maxSessions: 4,
      signatures: {
        verify: (id, ...rest) => {
          if (id === alice.id) verifications++
          return signatures.verify(id, ...rest)
        },
      },
    })
    const { pipeline } = watched({ requesters: counting, clock: { ...clock, nowMs: () => nowMs } })
    const sessionKey = createSigner()
    const parts: SessionParts = { body: { sessionKey: sessionKey.publicKey, sessionId: bytes32(1) }, asker: sessionKey }
    const ask = async (changed: SessionParts = {}): Promise<string> =>
      outcome(pipeline, await authorizeInSession({ ...parts, ...changed }))
    expect([await ask(), await ask(), verifications]).toEqual(['answer', 'answer', 1])
    // The same session under a forged signature is not the one that was verified.
    expect([await ask({ forger: byKey(createSigner()) }), verifications]).toEqual(['bad-session', 2])
    nowMs += 61_000
    expect([await ask(), verifications]).toEqual(['answer', 3])
  })

  it('a request in it is answered once', async () => {
    const { pipeline } = watched()
    const authorization = await authorizeInSession()
    expect([await outcome(pipeline, authorization), await outcome(pipeline, authorization)]).toEqual([
      'answer',
      'replayed',
    ])
  })
})
