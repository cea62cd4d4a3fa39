import { constants, generateKeyPairSync, privateDecrypt } from 'node:crypto'
import {
  answerSignedBytes,
  type Authorization,
  type BatchContent,
  decodeBatch,
  decodeNodePublicKey,
  decodeSingle,
  type DelegationRequest,
  encodeRequest,
  itemPoint,
  openBatch,
  requestHash,
  type RequestItemV2,
  Secret,
  splitBox,
  verifyEd25519,
  verifyPartial,
} from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { answerContext } from './answer.ts'
import {
  alice,
  authorize,
  authorizeBytes,
  bytes32,
  clock,
  createSigner,
  createTestPipeline,
  curve,
  grantedItem,
  grantPolicy,
  index,
  itemFor,
  node,
  NOW_SECONDS,
  ownVerificationShare,
  requestOf,
  rsaPrivateKey,
  sharingId,
  verifiedKey,
} from './pipeline.fixture.ts'
import type { ShareLender } from './key-table.ts'
import type { DelegationCall, DelegationPipeline, DelegationResult } from './pipeline.ts'

const call = (): DelegationCall => ({
  remote: 'test',
  address: '10.0.0.1',
  signal: new AbortController().signal,
})
const ask = (pipeline: DelegationPipeline, authorization: Authorization): Promise<DelegationResult> =>
  pipeline.handle(authorization, call())
const answerOf = (result: DelegationResult): Extract<DelegationResult, { kind: 'answer' }>['answer'] => {
  if (result.kind !== 'answer') throw new Error(`refused: ${result.code}`)
  return result.answer
}
const unwrap = (block: Uint8Array): Uint8Array =>
  privateDecrypt({ key: rsaPrivateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, block)
const contextOf = (request: DelegationRequest): Uint8Array => {
  const served = { key: verifiedKey(), index, verificationShare: ownVerificationShare }
  return answerContext(served, request, requestHash(encodeRequest(request)))
}
const openBox = (request: DelegationRequest, box: Uint8Array): BatchContent => {
  const { rsaBlock, sealed } = splitBox(box, 256)
  return decodeBatch(curve, openBatch(new Secret(unwrap(rsaBlock)), contextOf(request), sealed))
}

describe('delegation pipeline', () => {
  it('borrows the share for as long as a request is under way, however it ends', async () => {
    const { pipeline, lender } = createTestPipeline()
    await ask(pipeline, authorize(requestOf()))
    expect([lender.loans, lender.onLoan]).toEqual([1, 0])
    await ask(pipeline, authorize(requestOf({ publicKeyId: other.id }), other))
    expect([lender.loans, lender.onLoan]).toEqual([2, 0])
    await ask(pipeline, forged())
    expect([lender.loans, lender.onLoan]).toEqual([2, 0])
  })

  it.each(['superseded', 'no-share', 'destroyed', 'not-ready'] as const)('passes on that a key is %s', async (kind) => {
    const lender: ShareLender = { purpose: 'ecies-dec', find: () => ({ kind }) }
    const { pipeline } = createTestPipeline({ lender })
    expect(await ask(pipeline, authorize(requestOf()))).toMatchObject({ kind: 'refusal', code: kind })
  })

  it('answers one item with a boxed, proven and signed partial', async () => {
    const { pipeline, events } = createTestPipeline()
    const request = requestOf()
    const answer = answerOf(await ask(pipeline, authorize(request)))
    expect(answer).toMatchObject({ index, sharingId, requestId: request.requestId })
    const content = unwrap(answer.box)
    const opened = decodeSingle(curve, content)
    const ctx = contextOf(request)
    const K = itemPoint(request.items[0] ?? itemFor(alice))
    expect(verifyPartial(curve, { ...opened, verificationShare: ownVerificationShare, K, ctx })).toBe(true)
    const signed = answerSignedBytes({ ctx, box: answer.box, content })
    expect(verifyEd25519(decodeNodePublicKey(node.publicKey), signed, answer.signature)).toBe(true)
    expect(events).toMatchObject([{ outcome: 'answer', released: 1, rules: ['owner'], requester: alice.id }])
  })

  it('answers a batch in its order; a refused item does not refuse the rest', async () => {
    const { pipeline, lender } = createTestPipeline()
    const bad: RequestItemV2 = { ...itemFor(alice), proof: new Uint8Array(64).fill(1) }
    const request = requestOf({ items: [itemFor(alice), itemFor(createSigner()), bad, grantedItem(), itemFor(alice)] })
    const answer = answerOf(await ask(pipeline, authorize(request)))
    const { items } = openBox(request, answer.box)
    expect(items.map((item) => (item.kind === 'partial' ? 'partial' : item.code))).toEqual([
      'partial',
      'not-allowed',
      'bad-header-proof',
      'not-allowed',
      'partial',
    ])
    expect(lender.uses).toBe(2)
  })

  it('takes 256 items', async () => {
    const { pipeline } = createTestPipeline({ policy: grantPolicy() })
    const item = grantedItem()
    const request = requestOf({ items: Array.from({ length: 256 }, () => item) })
    const answer = answerOf(await ask(pipeline, authorize(request)))
    expect(openBox(request, answer.box).items).toHaveLength(256)
  })

  const other = createSigner()
  const smallRsa = new Uint8Array(
    generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'der', type: 'spki' }),
  )
  const forged = (): Authorization => ({ ...authorize(requestOf()), signature: new Uint8Array(64) })
  const cases: [string, string, () => Authorization][] = [
    ['nothing', 'malformed', () => authorizeBytes(new Uint8Array(0))],
    ['another version', 'malformed', () => authorizeBytes(encodeRequest(requestOf()).fill(2, 0, 1))],
    ['trailing bytes', 'malformed', () => authorizeBytes(Uint8Array.of(...encodeRequest(requestOf()), 0))],
    ['too many bytes', 'too-large', () => authorizeBytes(new Uint8Array(1024 * 1024 + 1))],
    ['another cluster', 'wrong-cluster', () => authorizeBytes(encodeRequest(requestOf()).fill(7, 1, 33))],
    ['another key', 'unknown-key', () => authorizeBytes(encodeRequest(requestOf()).fill(7, 33, 65))],
    ['another sharing', 'wrong-sharing', () => authorize(requestOf({ sharingId: bytes32(7) as typeof sharingId }))],
    [
      'a window that is over',
      'clock-skew',
      () => authorize(requestOf({ notBefore: NOW_SECONDS - 400, expiresAt: NOW_SECONDS - 61 })),
    ],
    [
      'a window to come',
      'clock-skew',
      () => authorize(requestOf({ notBefore: NOW_SECONDS + 61, expiresAt: NOW_SECONDS + 400 })),
    ],
    ['no signature', 'bad-signature', () => ({ ...authorize(requestOf()), signature: new Uint8Array(0) })],
    ['a forged signature', 'bad-signature', forged],
    ['an endless signature', 'malformed', () => ({ ...authorize(requestOf()), signature: new Uint8Array(513) })],
    ['a signer the request does not name', 'malformed', () => authorize(requestOf(), other)],
    [
      'a requester the label does not name',
      'not-allowed',
      () => authorize(requestOf({ publicKeyId: other.id }), other),
    ],
    ['a weak RSA key', 'weak-rsa-key', () => authorize(requestOf({ spki: smallRsa }))],
    [
      'a v1 item under a key that is for v2 envelopes',
      'not-allowed',
      () => authorize(requestOf({ items: [grantedItem()] })),
    ],
    [
      'a header proof of nothing',
      'bad-header-proof',
      () => authorize(requestOf({ items: [{ ...itemFor(alice), proof: new Uint8Array(64) }] })),
    ],
  ]
  it.each(cases)('refuses %s as %s, without touching the share', async (_what, code, make) => {
    const { pipeline, lender, events } = createTestPipeline()
    expect(await ask(pipeline, make())).toMatchObject({ kind: 'refusal', code })
    expect(lender.uses).toBe(0)
    expect(events).toHaveLength(1)
  })

  it('says by how much the clocks differ, and has a leeway of a minute', async () => {
    const { pipeline } = createTestPipeline()
    const ended = { notBefore: NOW_SECONDS - 400, expiresAt: NOW_SECONDS - 100 }
    expect(await ask(pipeline, authorize(requestOf(ended)))).toEqual({
      kind: 'refusal',
      code: 'clock-skew',
      skewSeconds: 100,
    })
    const within = { notBefore: NOW_SECONDS - 400, expiresAt: NOW_SECONDS - 60 }
    expect(await ask(pipeline, authorize(requestOf(within)))).toMatchObject({ kind: 'answer' })
    const ahead = { notBefore: NOW_SECONDS + 60, expiresAt: NOW_SECONDS + 90 }
    expect(await ask(pipeline, authorize(requestOf(ahead)))).toMatchObject({ kind: 'answer' })
  })

  const outsidePoints: [string, string][] = [
    ['infinity', `00${'00'.repeat(32)}`],
    ['off the curve', `02${'00'.repeat(31)}05`],
    ['x >= p', `02${'ff'.repeat(32)}`],
    ['hybrid 06', '0679be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798'],
    ['hybrid 07', '0779be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798'],
    [
      '65 bytes',
      '0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8',
    ],
  ]
  it.each(outsidePoints)('refuses K %s before any multiplication, in both kinds of item', async (_what, hex) => {
    const { pipeline, lender } = createTestPipeline()
    for (const item of [grantedItem(), itemFor(alice)]) {
      const request = requestOf({ items: [item] })
      const bytes = Buffer.from(encodeRequest(request))
      const at = bytes.indexOf(Buffer.from(itemPoint(item)))
      const point = Buffer.from(hex, 'hex')
      const changed = Buffer.concat([bytes.subarray(0, at), point, bytes.subarray(at + 33)])
      const headerLength = at - 32 - 76 - 4
      if (item.version === 2) changed.writeUInt32BE(206 + point.length - 33, headerLength)
      expect(await ask(pipeline, authorizeBytes(changed))).toMatchObject({ kind: 'refusal', code: 'bad-point' })
    }
    expect(lender.uses).toBe(0)
  })

  it('answers a request once', async () => {
    const { pipeline, lender } = createTestPipeline()
    const authorization = authorize(requestOf())
    const results = await Promise.all([ask(pipeline, authorization), ask(pipeline, authorization)])
    expect(results.map((result) => (result.kind === 'answer' ? 'answer' : result.code)).toSorted()).toEqual([
      'answer',
      'replayed',
    ])
    expect(await ask(pipeline, authorization)).toMatchObject({ code: 'replayed' })
    expect(lender.uses).toBe(1)
  })

  it('a refused request may be asked again', async () => {
    const { pipeline } = createTestPipeline()
    const request = requestOf()
    expect(await ask(pipeline, { ...authorize(request), signature: new Uint8Array(64) })).toMatchObject({
      code: 'bad-signature',
    })
    expect(await ask(pipeline, authorize(request))).toMatchObject({ kind: 'answer' })
  })

  it('refuses what does not fit its queue, and what was cancelled', async () => {
    const { pipeline, lender } = createTestPipeline()
    const results = await Promise.all(
      Array.from({ length: 6 }, (_, n) =>
        pipeline.handle(authorize(requestOf()), { ...call(), address: `10.0.0.${n}` }),
      ),
    )
    expect(results.filter((result) => result.kind === 'refusal' && result.code === 'busy')).toHaveLength(2)
    expect(pipeline.underWay).toBe(0)
    const before = lender.uses
    const gone = { ...call(), signal: AbortSignal.abort() }
    expect(await pipeline.handle(authorize(requestOf()), gone)).toMatchObject({ code: 'cancelled' })
    expect(lender.uses).toBe(before)
  })

  it('answers `internal` and reports the cause when its own parts fail', async () => {
    const failure = new Error('no entropy')
    const broken = {
      bytes: (): Uint8Array => {
        throw failure
      },
    }
    const { pipeline, events } = createTestPipeline({ rng: broken })
    expect(await ask(pipeline, authorize(requestOf()))).toEqual({ kind: 'refusal', code: 'internal' })
    expect(events).toMatchObject([{ outcome: 'internal', cause: failure }])
  })

  it('never throws for any bytes', async () => {
    const { pipeline } = createTestPipeline({ clock })
    const payload = encodeRequest(requestOf())
    for (let round = 0; round < 60; round++) {
      const changed = Uint8Array.from(payload)
      const at = Math.floor((round / 60) * payload.length)
      changed[at] = (changed[at] ?? 0) ^ (1 << (round % 8))
      const result = await ask(pipeline, {
        ...authorizeBytes(changed),
        publicKeyId: round % 2 === 0 ? alice.id : 'nonsense',
      })
      expect(['answer', 'refusal']).toContain(result.kind)
      expect(result).not.toMatchObject({ code: 'internal' })
    }
  })
})
