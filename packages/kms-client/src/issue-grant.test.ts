import { sha256 } from '@noble/hashes/sha2.js'
import { decodeGrant, grantMismatch, nobleCurve, Secret, verifyEd25519, verifyGrant } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { createKmsClient } from './client.ts'
import type { KmsClient } from './client-types.ts'
import type { GrantOptions } from './issue-grant.ts'
import { createMemoryTransport, createTestCluster } from './node/testing/test-cluster.ts'
import { createEd25519Signer } from './signer.ts'

const curve = nobleCurve
const cluster = createTestCluster(curve)
const issuer = createEd25519Signer(new Secret(new Uint8Array(32).fill(5)))
const NOW = 1_800_000_000
const text = new TextEncoder().encode('x')
const options: GrantOptions = {
  requester: `ed25519:${'ab'.repeat(32)}`,
  recipientSpkiHash: sha256(new Uint8Array(294)),
}
const open = (signer = true): Promise<KmsClient> =>
  createKmsClient({
    cluster: cluster.file(),
    curve,
    transport: createMemoryTransport(cluster),
    nowMs: () => NOW * 1000,
    ...(signer && { signer: issuer }),
  })

describe('issueGrant', () => {
  it('signs for exactly this envelope, requester, RSA key and time, in either version', async () => {
    const kms = await open()
    const v1 = await kms.encrypt(text, { version: 1 })
    const v2 = await kms.encrypt(text, { chainId: 7 })
    if (v1.envelope.version !== 1 || v2.envelope.version !== 2) throw new Error('other versions')
    const { label, K } = v2.envelope.header
    const subjects = [
      { envelope: v1, chainId: 9, handle: v1.envelope.handle, K: v1.envelope.K },
      { envelope: v2, chainId: 7, handle: label.handle, K },
    ]
    for (const { envelope, ...subject } of subjects) {
      const issued = await kms.issueGrant(envelope, { ...options, lifetimeSeconds: 60, chainId: 9 })
      const grant = decodeGrant(curve, issued.grant)
      expect(verifyGrant(verifyEd25519, grant)).toBe(true)
      const ids = { clusterId: kms.cluster.config.clusterId, keyId: cluster.key.keyId }
      expect(grantMismatch(grant, { ...options, ...ids, ...subject })).toBeUndefined()
      const window = { notBefore: NOW - 30, expiresAt: NOW + 60 }
      expect(grant).toMatchObject({ issuer: issuer.publicKeyId, grantId: issued.grantId, ...window })
      expect(issued.expiresAt).toBe(NOW + 60)
    }
  })

  it('gives every grant a name of its own', async () => {
    const kms = await open()
    const envelope = await kms.encrypt(text)
    const [one, two] = [await kms.issueGrant(envelope, options), await kms.issueGrant(envelope, options)]
    expect(one.grantId).not.toEqual(two.grantId)
  })

  it.each<[string, Partial<GrantOptions>]>([
    ['a requester in upper case', { requester: `eip712:0x${'AB'.repeat(20)}` }],
    ['nobody', { requester: 'none' }],
    ['a session', { requester: `session:${'ab'.repeat(32)}` }],
    ['a hash of another length', { recipientSpkiHash: new Uint8Array(31) }],
    ['no time', { lifetimeSeconds: 0 }],
    ['more than a year', { lifetimeSeconds: 367 * 24 * 3600 }],
    ['half a second', { lifetimeSeconds: 0.5 }],
  ])('is refused for %s', async (_, wrong) => {
    const kms = await open()
    await expect(kms.issueGrant(await kms.encrypt(text), { ...options, ...wrong })).rejects.toMatchObject({
      code: 'bad-argument',
    })
  })

  it('needs the issuer as signer', async () => {
    const kms = await open(false)
    await expect(kms.issueGrant(await kms.encrypt(text), options)).rejects.toMatchObject({ code: 'no-signer' })
  })
})
