import { randomBytes } from 'node:crypto'
import { bls12_381 } from '@noble/curves/bls12-381.js'
import { SealClient, type SealClientOptions, SessionKey } from '@mysten/seal'
import { bcs } from '@mysten/sui/bcs'
import { Ed25519Keypair } from '@mysten/sui/keypairs/ed25519'

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length))
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

/** Seal's threshold of key servers with identity-based encryption on BLS12-381, in JavaScript. */
export interface Seal {
  /** The client's whole work for a first identity: asks t key servers, verifies the keys that they derived, opens. @returns the plaintext */
  decrypt(): Promise<Uint8Array>
  /** The same for an identity whose keys the client has: opens. @returns the plaintext */
  decryptAgain(): Promise<Uint8Array>
}

const { G1, G2 } = bls12_381
type G1Point = typeof G1.Point.BASE

interface KeyServer {
  readonly objectId: string
  readonly secret: bigint
  readonly publicKey: Uint8Array
}

/**
 * The client of the package, with chain and key servers in this process instead of behind its two ports. They do the least that the client
 * accepts: what they derive is made before it counts, and it is encrypted to the session with the randomness 1, which is an addition.
 */
export async function createSeal(input: {
  readonly n: number
  readonly t: number
  readonly plaintext: Uint8Array
}): Promise<Seal> {
  const { n, t, plaintext } = input
  const servers = Array.from({ length: n }, (): KeyServer => {
    const secret = BigInt(`0x${hex(random(32))}`) % G1.Point.Fn.ORDER
    return { objectId: `0x${hex(random(32))}`, secret, publicKey: G2.Point.BASE.multiply(secret).toBytes() }
  })
  const packageId = `0x${hex(random(32))}`
  const id = random(32)
  const suiClient = standInChain(servers)
  const clientOf = (asked: readonly KeyServer[]): SealClient =>
    new SealClient({
      suiClient,
      serverConfigs: asked.map(({ objectId }) => ({ objectId, weight: 1 })),
      verifyKeyServers: false,
      fetch: standInServers(asked, Buffer.concat([Buffer.from(packageId.slice(2), 'hex'), id])),
    })
  const { encryptedObject: data } = await clientOf(servers).encrypt({
    threshold: t,
    packageId,
    id: hex(id),
    data: plaintext,
  })
  const signer = Ed25519Keypair.generate()
  const address = signer.getPublicKey().toSuiAddress()
  const sessionKey = await SessionKey.create({ address, packageId, ttlMin: 30, signer, suiClient })
  const txBytes = random(100)
  const asked = servers.slice(0, t)
  const known = clientOf(asked)
  const decryptBy = (client: SealClient): Promise<Uint8Array> => client.decrypt({ data, sessionKey, txBytes })
  return { decrypt: () => decryptBy(clientOf(asked)), decryptAgain: () => decryptBy(known) }
}

const hostOf = (objectId: string): string => `${objectId.slice(2, 34)}.invalid`

/** What the client reads of the chain: that the package is in its first version, and the key servers' public keys. */
function standInChain(servers: readonly KeyServer[]): SealClientOptions['suiClient'] {
  const KeyServerObject = bcs.struct('KeyServer', { id: bcs.Address, firstVersion: bcs.u64(), lastVersion: bcs.u64() })
  const KeyServerV1 = bcs.struct('KeyServerV1', {
    name: bcs.string(),
    url: bcs.string(),
    keyType: bcs.u8(),
    pk: bcs.byteVector(),
  })
  const core = {
    getObject: ({ objectId: id }: { readonly objectId: string }) => {
      const content = KeyServerObject.serialize({ id, firstVersion: 1, lastVersion: 1 }).toBytes()
      return Promise.resolve({ object: { version: '1', content } })
    },
    getDynamicField: ({ parentId }: { readonly parentId: string }) => {
      const pk = servers.find(({ objectId }) => objectId === parentId)?.publicKey ?? new Uint8Array(0)
      const url = `https://${hostOf(parentId)}`
      const content = KeyServerV1.serialize({ name: parentId, url, keyType: 0, pk }).toBytes()
      return Promise.resolve({ dynamicField: { value: { bcs: content } } })
    },
  }
  return { core } as unknown as SealClientOptions['suiClient']
}

/** Answers to `POST /v1/fetch_key` with the key of this one identity. */
function standInServers(servers: readonly KeyServer[], fullId: Uint8Array): typeof fetch {
  const domain = new TextEncoder().encode('SUI-SEAL-IBE-BLS12381-00')
  const identity = G1.Point.fromAffine(G1.hashToCurve(Buffer.concat([domain, fullId])).toAffine())
  const derived = new Map(servers.map(({ objectId, secret }) => [hostOf(objectId), identity.multiply(secret)]))
  const encrypted = (key: G1Point, to: Uint8Array): readonly string[] =>
    [G1.Point.BASE, key.add(G1.Point.fromBytes(to))].map((point) => base64(point.toBytes()))
  return (url, init) => {
    const key = derived.get(new URL(url instanceof Request ? url.url : url).hostname)
    if (key === undefined || typeof init?.body !== 'string') return Promise.reject(new Error('no such key server'))
    const { enc_key: to } = JSON.parse(init.body) as { readonly enc_key: string }
    const keys = [{ id: [...fullId], encrypted_key: encrypted(key, Buffer.from(to, 'base64')) }]
    return Promise.resolve(Response.json({ decryption_keys: keys }, { headers: { 'X-KeyServer-Version': '0.5.0' } }))
  }
}
