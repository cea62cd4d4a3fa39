import { secp256k1 } from '@noble/curves/secp256k1.js'
import {
  type ClusterId,
  encodeRequest,
  ethereumAddress,
  type KeyId,
  nobleCurve,
  requestStatement,
  Secret,
  type Statement,
  typedDataDigest,
  verifyEd25519,
  verifyStatement,
} from '@tkms/dkg'
import { bytesToHex } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { createEip712Signer } from './eip712-signer.ts'
import { createEd25519Signer } from './signer.ts'

const bytes32 = (value: number): Uint8Array => new Uint8Array(32).fill(value)

function statement(publicKeyId: string, id = 1): Statement {
  const request = {
    clusterId: bytes32(1) as ClusterId,
    keyId: bytes32(2) as KeyId,
    requestId: bytes32(id),
    notBefore: 1,
    expiresAt: 2,
    spki: bytes32(3),
    publicKeyId,
    evidence: [],
    items: [{ version: 1, K: nobleCurve.generator, chainId: 0, handle: bytes32(0), grant: new Uint8Array(0) }],
  } as const
  return requestStatement(request, encodeRequest(request))
}

describe('createEd25519Signer', () => {
  it('signs what a node verifies under its public key id', async () => {
    const signer = createEd25519Signer(new Secret(new Uint8Array(32).fill(1)))
    const { publicKeyId } = signer
    const signature = await signer.sign(statement(publicKeyId))
    expect(publicKeyId).toMatch(/^ed25519:[0-9a-f]{64}$/)
    expect(verifyStatement(verifyEd25519, publicKeyId, statement(publicKeyId), signature)).toBe(true)
    expect(verifyStatement(verifyEd25519, publicKeyId, statement(publicKeyId, 2), signature)).toBe(false)
  })

  it('refuses a seed of another length, and ends with its seed', () => {
    expect(() => createEd25519Signer(new Secret(new Uint8Array(31)))).toThrow('32 bytes')
    const seed = new Secret(new Uint8Array(32).fill(1))
    const signer = createEd25519Signer(seed)
    seed.destroy()
    expect(() => signer.sign(statement('none'))).toThrow('wiped')
  })
})

describe('createEip712Signer', () => {
  const key = bytes32(7)
  const address = `0x${bytesToHex(ethereumAddress(secp256k1.getPublicKey(key, false)))}`
  const publicKeyId = `eip712:${address}`

  /** A wallet whose v begins at 0 or at 27. */
  const walletWith = (firstV: number): ReturnType<typeof createEip712Signer> =>
    createEip712Signer({
      address: address.toUpperCase().replace('0X', '0x'),
      signTypedData: async (data) => {
        const signed = secp256k1.sign(typedDataDigest(data), key, { prehash: false, format: 'recovered' })
        return `0x${bytesToHex(signed.slice(1))}${bytesToHex(Uint8Array.of((signed[0] ?? 0) + firstV))}`
      },
    })

  it.each([27, 0])(
    'signs typed data under its address in lower case, also by a wallet that counts v from %d',
    async (v) => {
      const signer = walletWith(v)
      expect(signer.publicKeyId).toBe(publicKeyId)
      for (let id = 0; id < 8; id++) {
        const signature = await signer.sign(statement(publicKeyId, id))
        expect(verifyStatement(verifyEd25519, publicKeyId, statement(publicKeyId, id), signature)).toBe(true)
      }
    },
  )

  it('passes on what a contract wallet gives, up to 512 bytes, and nothing else', async () => {
    const gives = (text: string): unknown =>
      createEip712Signer({ address, signTypedData: async () => text }).sign(statement(publicKeyId))
    expect(await gives('0x')).toEqual(new Uint8Array(0))
    expect(await gives(`0x${'AB'.repeat(512)}`)).toEqual(new Uint8Array(512).fill(0xab))
    for (const text of [`0x${'ab'.repeat(513)}`, 'ab', '0xa', '', 'rejected'])
      await expect(gives(text)).rejects.toMatchObject({ code: 'bad-argument' })
  })

  it('leaves what a contract wallet gives as it is, also where it has the length of a signature and ends in 0 or 1', async () => {
    for (const last of ['00', '01', '1b']) {
      const text = `0x${'ab'.repeat(64)}${last}`
      const signer = createEip712Signer({ address, signTypedData: async () => text })
      expect(`0x${bytesToHex(await signer.sign(statement(publicKeyId)))}`).toBe(text)
    }
  })

  it('refuses what is no address', () => {
    const signTypedData = (): Promise<string> => Promise.resolve('0x')
    for (const wrong of ['', address.slice(2), `${address}00`, 'vitalik.eth'])
      expect(() => createEip712Signer({ address: wrong, signTypedData })).toThrow('address')
  })
})
