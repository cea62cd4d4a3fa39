import { constants, createPublicKey, publicEncrypt } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { createRequesterKey, type RequesterKey, requesterKeyFromPair } from './requester.ts'

const wrap = (spki: Uint8Array, content: Uint8Array, oaepHash: string): Uint8Array =>
  publicEncrypt(
    {
      key: createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }),
      padding: constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash,
    },
    content,
  )

describe('createRequesterKey', () => {
  let requester: RequesterKey
  const content = Uint8Array.from({ length: 99 }, (_, at) => at)
  beforeAll(async () => {
    requester = await createRequesterKey()
  })

  it('has an RSA-2048 key with e = 65537', () => {
    const key = createPublicKey({ key: Buffer.from(requester.spki), format: 'der', type: 'spki' })
    expect(key.asymmetricKeyDetails).toEqual({ modulusLength: 2048, publicExponent: 65537n })
    expect(requester.blockBytes).toBe(256)
    expect(requester.spki.length).toBe(294)
  })

  it('opens what a node wraps', async () => {
    expect(await requester.unwrap(wrap(requester.spki, content, 'sha256'))).toEqual(content)
  })

  it('row 42: does not open PKCS#1 v1.5, another hash, another key, another length or a changed block, and does not say which', async () => {
    const other = await createRequesterKey()
    const changed = wrap(requester.spki, content, 'sha256')
    changed[100] = (changed[100] ?? 0) ^ 1
    const key = createPublicKey({ key: Buffer.from(requester.spki), format: 'der', type: 'spki' })
    const blocks: Uint8Array[] = [
      publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, content),
      wrap(requester.spki, content, 'sha1'),
      wrap(other.spki, content, 'sha256'),
      wrap(requester.spki, content, 'sha256').subarray(1),
      changed,
    ]
    expect(await Promise.all(blocks.map((block) => requester.unwrap(block)))).toEqual(blocks.map(() => undefined))
  })
})

describe('requesterKeyFromPair', () => {
  const generate = async (hash: string, modulusLength: number): Promise<CryptoKeyPair> =>
    (await crypto.subtle.generateKey(
      { name: 'RSA-OAEP', hash, modulusLength, publicExponent: Uint8Array.of(1, 0, 1) },
      false,
      ['encrypt', 'decrypt'],
    )) as CryptoKeyPair

  it('uses the given key', async () => {
    const pair = await generate('SHA-256', 2048)
    const requester = await requesterKeyFromPair(pair.privateKey, pair.publicKey)
    expect(await requester.unwrap(wrap(requester.spki, Uint8Array.of(7), 'sha256'))).toEqual(Uint8Array.of(7))
  })

  it.each([
    ['SHA-1', 2048],
    ['SHA-256', 1024],
  ])('refuses %s with %d bits', async (hash, bits) => {
    const pair = await generate(hash, bits)
    await expect(requesterKeyFromPair(pair.privateKey, pair.publicKey)).rejects.toMatchObject({ code: 'bad-argument' })
  })
})
