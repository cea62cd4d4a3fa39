import { createHash } from 'node:crypto'
import { selectCurve } from '@tkms/curve-native'
import {
  attestedRequesterNonce,
  decodeAttestationEvidence,
  decodeRequest,
  EVIDENCE_ATTESTATION,
  reportData,
  Secret,
} from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { createKmsClient } from '../client.ts'
import type { KmsClientOptions } from '../client-types.ts'
import { createEd25519Signer } from '../signer.ts'
import { attestation, type AttestationOptions } from './attestation.ts'
import { createMemoryTransport, createTestCluster } from './testing/test-cluster.ts'

const { curve } = selectCurve()
const cluster = createTestCluster(curve)
const signer = createEd25519Signer(new Secret(new Uint8Array(32).fill(3)))
const START_SECONDS = 1_800_000_000

/** A client whose platform "quotes" the report data itself, and the request that it would send now. */
async function setUp(options: AttestationOptions = {}, more: Partial<KmsClientOptions> = {}) {
  const quoted: Uint8Array[] = []
  const time = { seconds: START_SECONDS }
  const source = attestation((data) => {
    quoted.push(data)
    return Promise.resolve(data)
  }, options)
  const kms = await createKmsClient({
    cluster: cluster.file(),
    curve,
    signer,
    evidence: source,
    transport: createMemoryTransport(cluster),
    nowMs: () => 1000 * time.seconds,
    ...more,
  })
  const request = async () => {
    const { authorization } = await kms.request(await kms.encrypt(new Uint8Array(3)))
    return decodeRequest(curve, authorization.payload)
  }
  return { kms, quoted, time, request }
}

describe('attestation', () => {
  it.each([false, true])('binds cluster, RSA key, signer and time into the quote; sessions: %s', async (sessions) => {
    const { request, quoted, kms } = await setUp({}, { sessions })
    const { evidence, clusterId, spki } = await request()
    const given = evidence.filter(({ kind }) => kind === EVIDENCE_ATTESTATION)
    expect([given.length, evidence.length]).toEqual([1, sessions ? 2 : 1])
    const { quotedAt, quote } = decodeAttestationEvidence(given[0]?.bytes ?? new Uint8Array(0))
    expect(quotedAt).toBe(START_SECONDS)
    const nonce = attestedRequesterNonce(signer.publicKeyId, START_SECONDS)
    const rsaSpkiSha256 = createHash('sha256').update(spki).digest()
    expect(quote).toEqual(reportData({ role: 'requester', clusterId, rsaSpkiSha256, nonce }))
    expect(quoted).toEqual([quote])
    expect((await kms.requesterKey()).spki).toEqual(spki)
  })

  it('asks the platform once for many requests, and again when the quote is old', async () => {
    const { request, quoted, time } = await setUp({ renewSeconds: 60 })
    await Promise.all([request(), request(), request()])
    time.seconds += 59
    await request()
    expect(quoted.length).toBe(1)
    time.seconds += 1
    await request()
    expect(quoted.length).toBe(2)
  })

  it('hands on what the platform says, and asks again', async () => {
    let asked = 0
    const source = attestation(() => {
      asked++
      return Promise.reject(new Error('no device'))
    })
    const { request } = await setUp({}, { evidence: source })
    await expect(request()).rejects.toThrow('no device')
    await expect(request()).rejects.toThrow('no device')
    expect(asked).toBe(2)
  })

  it.each([0, 3601, 1.5])('refuses to use a quote for %s seconds', (renewSeconds) => {
    expect(() => attestation(() => Promise.reject(new Error('unused')), { renewSeconds })).toThrow(
      expect.objectContaining({ code: 'bad-argument' }) as Error,
    )
  })
})
