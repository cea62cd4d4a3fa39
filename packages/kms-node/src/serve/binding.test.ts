import { generateKeyPairSync } from 'node:crypto'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { sha256 } from '@noble/hashes/sha2.js'
import {
  type Authorization,
  decodeSingle,
  encodePolicy,
  equalBytes,
  openEnvelopeV2,
  type PointBytes,
  policyHash,
  requestItemV2,
  type RequestItem,
  type RequestItemV2,
  sealEnvelopeV2,
  Secret,
} from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import type { Policy } from '../policy/policy.ts'
import {
  alice,
  authorize,
  createSigner,
  createTestPipeline,
  curve,
  grantedItem,
  grantPolicy,
  groupKey,
  groupSecret,
  keyId,
  openBlock,
  ownVerificationShare,
  requestOf,
  rng,
  spki,
} from './pipeline.fixture.ts'
import { authorizeAs, authorizeInSession, createWallet } from './requester.fixture.ts'

/**
 * Protocol 10.2, rows 37 and 38: somebody who is no reader of an envelope has everything of it but the right, and a node that
 * multiplies whatever point it is handed. Each attack is carried out up to the point where the node would have to answer.
 */

const victim = alice
const mallory = createSigner()
const Point = secp256k1.Point
const plaintext = Buffer.from('for alice only')
const secretOf = (value: bigint): Secret => new Secret(Buffer.from(value.toString(16).padStart(64, '0'), 'hex'))
const point = (bytes: PointBytes): InstanceType<typeof Point> => Point.fromBytes(bytes)
const bytesOf = (value: InstanceType<typeof Point>): PointBytes => value.toBytes(true) as PointBytes
const malloryPolicy = encodePolicy({ kind: 'ed25519', key: mallory.publicKey })

const envelope = sealEnvelopeV2(curve, {
  key: { keyId, groupKey },
  plaintext,
  chainId: 0,
  handle: rng.bytes(32),
  policy: encodePolicy({ kind: 'ed25519', key: victim.publicKey }),
  k: secretOf(0xc0ffeen),
  aux: rng.bytes(32),
})
const stolen = requestItemV2(envelope)

/** The stolen header as Mallory's own: her label over these points, with the proof she has. */
const asHers = (points: Partial<Pick<RequestItemV2['header'], 'K' | 'Kbar'>>): RequestItemV2 => ({
  ...stolen,
  header: { ...stolen.header, ...points, label: { ...stolen.header.label, policyHash: policyHash(malloryPolicy) } },
  policy: malloryPolicy,
})
const ask = async (item: RequestItem): Promise<string> => {
  const { pipeline, lender } = createTestPipeline(item.version === 1 ? { policy: grantPolicy() } : {})
  const call = { remote: 'mallory', address: '192.0.2.66', signal: new AbortController().signal }
  const result = await pipeline.handle(authorize(requestOf({ publicKeyId: mallory.id, items: [item] }), mallory), call)
  if (result.kind === 'refusal') expect(lender.uses).toBe(0)
  return result.kind === 'answer' ? 'answer' : result.code
}

const r = 0x1234_5678n
const gbar = point(curve.secondGenerator)
/** What the node would multiply, how Mallory dresses it up, and how she would get S = s*K of the victim from the answer to it. */
const attacks: readonly {
  readonly name: string
  readonly K: PointBytes
  readonly Kbar: PointBytes
  readonly recover: (answer: InstanceType<typeof Point>) => InstanceType<typeof Point>
}[] = [
  {
    name: 'K + r*G, from which r*Y is taken away again',
    K: bytesOf(point(stolen.header.K).add(Point.BASE.multiply(r))),
    Kbar: bytesOf(point(stolen.header.Kbar).add(gbar.multiply(r))),
    recover: (answer) => answer.subtract(point(groupKey).multiply(r)),
  },
  {
    name: 'K itself under another label',
    K: stolen.header.K,
    Kbar: stolen.header.Kbar,
    recover: (answer) => answer,
  },
  {
    name: '-K, whose answer is negated',
    K: bytesOf(point(stolen.header.K).negate()),
    Kbar: bytesOf(point(stolen.header.Kbar).negate()),
    recover: (answer) => answer.negate(),
  },
]

describe('row 37: a point that is not the requester’s', () => {
  it.each(attacks)('$name: would open the envelope, and is refused', async ({ K, Kbar, recover }) => {
    // The control: with the answer to it, the attack works.
    const S = bytesOf(recover(point(K).multiply(groupSecret)))
    expect(openEnvelopeV2(curve, envelope, S)).toEqual(new Uint8Array(plaintext))
    const item = asHers({ K, Kbar })
    expect(await ask(item)).toBe('bad-header-proof')
    expect(await ask({ ...item, proof: rng.bytes(64).fill(0, 32, 33) })).toBe('bad-header-proof')
    // Left under the victim's own label it has no proof either, or is somebody else's.
    const undressed: RequestItemV2 = { ...stolen, header: { ...stolen.header, K, Kbar } }
    const own = equalBytes(K, stolen.header.K) && equalBytes(Kbar, stolen.header.Kbar)
    expect(await ask(undressed)).toBe(own ? 'not-allowed' : 'bad-header-proof')
  })

  it('K = Y, whose answer nobody can compute, is refused: Mallory does not know its logarithm', async () => {
    for (const Kbar of [groupKey, bytesOf(gbar), stolen.header.Kbar])
      expect(await ask(asHers({ K: groupKey, Kbar }))).toBe('bad-header-proof')
    expect(await ask(asHers({ K: ownVerificationShare, Kbar: bytesOf(gbar) }))).toBe('bad-header-proof')
  })

  it('K = G is refused without a proof; with one, its answer is public anyway', async () => {
    expect(await ask(asHers({ K: curve.generator, Kbar: bytesOf(gbar) }))).toBe('bad-header-proof')
    const own = sealEnvelopeV2(curve, {
      key: { keyId, groupKey },
      plaintext,
      chainId: 0,
      handle: rng.bytes(32),
      policy: malloryPolicy,
      k: secretOf(1n),
      aux: rng.bytes(32),
    })
    expect(equalBytes(own.header.K, curve.generator)).toBe(true)
    const { pipeline } = createTestPipeline()
    const request = requestOf({ publicKeyId: mallory.id, items: [requestItemV2(own)] })
    const call = { remote: 'mallory', address: '192.0.2.66', signal: new AbortController().signal }
    const result = await pipeline.handle(authorize(request, mallory), call)
    if (result.kind === 'refusal') throw new Error(result.code)
    expect(decodeSingle(curve, openBlock(result.answer.box)).D).toEqual(ownVerificationShare)
  })

  it.each([...attacks, { name: 'K = Y', K: groupKey }, { name: 'K = G', K: curve.generator }])(
    '$name: refused in a v1 item, for no producer signed it',
    async ({ K }) => {
      const granted = grantedItem({ requester: mallory.id })
      expect(await ask(granted)).toBe('answer')
      expect(await ask({ ...granted, K })).toBe('not-allowed')
      expect(await ask({ ...granted, K, grant: new Uint8Array(0) })).toBe('not-allowed')
      // With a grant for this K that is somebody else's.
      expect(await ask(grantedItem({ K, requester: victim.id }))).toBe('not-allowed')
    },
  )
})

describe('row 38: another RSA key put into a request', () => {
  const gatewayPair = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const gatewaySpki = new Uint8Array(gatewayPair.publicKey.export({ format: 'der', type: 'spki' }))
  const call = { remote: 'gateway', address: '192.0.2.1', signal: new AbortController().signal }

  const swap = (payload: Uint8Array): Uint8Array => {
    const at = Buffer.from(payload).indexOf(Buffer.from(spki))
    return Buffer.concat([payload.subarray(0, at), gatewaySpki, payload.subarray(at + spki.length)])
  }
  const handled = async (authorization: Authorization, policy?: Policy): Promise<string> => {
    const { pipeline, lender } = createTestPipeline(policy && { policy })
    const result = await pipeline.handle(authorization, call)
    if (result.kind === 'refusal') expect(lender.uses).toBe(0)
    return result.kind === 'answer' ? 'answer' : result.code
  }

  it('in transit: the requester’s signature covers it, whoever signed', async () => {
    const wallet = createWallet()
    const asWallet = await authorizeAs(wallet, requestOf({ publicKeyId: wallet.id }))
    for (const honest of [authorize(requestOf()), asWallet])
      expect(await handled({ ...honest, payload: swap(honest.payload) })).toBe('bad-signature')
    const inSession = await authorizeInSession()
    expect(await handled(inSession)).toBe('answer')
    expect(await handled({ ...inSession, payload: swap(inSession.payload) })).toBe('bad-session')
  })

  it('by whoever holds the session key: the session is for one RSA key', async () => {
    expect(await handled(await authorizeInSession({ request: { spki: gatewaySpki } }))).toBe('bad-session')
    // And a session that the gateway makes up for its own key has not the principal's signature.
    const gateway = createSigner()
    const forged = await authorizeInSession({
      body: { recipientSpkiHash: sha256(gatewaySpki) },
      forger: { id: victim.id, sign: async ({ message }) => gateway.sign(message) },
      request: { spki: gatewaySpki },
    })
    expect(await handled(forged)).toBe('bad-session')
  })

  it('by the requester named in a grant: the grant is for one RSA key', async () => {
    const items = [grantedItem()]
    expect(await handled(authorize(requestOf({ items })), grantPolicy())).toBe('answer')
    expect(await handled(authorize(requestOf({ items, spki: gatewaySpki })), grantPolicy())).toBe('not-allowed')
  })
})
