import {
  createDecipheriv,
  createCipheriv,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  privateDecrypt,
  constants,
} from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { generatePrivateKey, type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import { encodeAbiParameters, recoverTypedDataAddress } from 'viem/utils'

/** The other side of the Nox protocol, written from its description alone: gateway, user, contract. Nothing of ours computes anything here. */

type Hex = `0x${string}`
const hex = (value: Uint8Array): Hex => `0x${bytesToHex(value)}`
const raw = (text: string): Uint8Array => hexToBytes(text.replace(/^0x/, ''))

export const newAccount = (): PrivateKeyAccount => privateKeyToAccount(generatePrivateKey())

/** What the NoxCompute contract says; may be changed. */
export interface NoxComputeState {
  gateway: Hex
  /** 33 bytes. */
  kmsPublicKey: Hex
}

/** A JSON-RPC endpoint of a chain with one NoxCompute contract. */
export async function startNoxChain(
  chainId: number,
  state: NoxComputeState,
): Promise<{ readonly url: string; readonly contract: Hex; stop(): Promise<void> }> {
  const contract = '0x75C6AF4430cc474b1bb9b8540b7E46D6f8e1C685'
  const results = (method: string, params: readonly { readonly to?: string; readonly data?: string }[]): string => {
    if (method === 'eth_chainId') return `0x${chainId.toString(16)}`
    const [call] = params
    if (call?.to?.toLowerCase() !== contract.toLowerCase()) return '0x'
    if (call.data === '0x116191b6') return encodeAbiParameters([{ type: 'address' }], [state.gateway])
    return call.data === '0xac6c544f' ? encodeAbiParameters([{ type: 'bytes' }], [state.kmsPublicKey]) : '0x'
  }
  const server = createServer((request, response) => {
    void readJson(request).then(({ id, method, params }) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ jsonrpc: '2.0', id, result: results(method, params) }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    contract,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function readJson(
  request: IncomingMessage,
): Promise<{ id: number; method: string; params: { to?: string; data?: string }[] }> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return JSON.parse(Buffer.concat(chunks).toString()) as ReturnType<typeof readJson> extends Promise<infer T>
    ? T
    : never
}

/** A user's RSA key, as the SDK makes it. */
export interface NoxUser {
  /** "0x" and the hex of the SPKI. */
  readonly targetPubKey: Hex
  readonly privateKey: KeyObject
}

export function newUser(): NoxUser {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 65_537 })
  return { targetPubKey: hex(publicKey.export({ type: 'spki', format: 'der' })), privateKey }
}

export interface StoredValue {
  /** K. */
  readonly publicKey: Hex
  readonly nonce: Hex
  readonly ciphertext: Hex
}

const INFO = 'ECIES:AES_GCM:v1'
const aesKey = (x: Uint8Array): Buffer => Buffer.from(hkdfSync('sha256', x, new Uint8Array(0), INFO, 32))

/** ECIES:AES_GCM:v1 (interop 1.3). */
export function encryptValue(kmsPublicKey: string, plaintext: Uint8Array): StoredValue {
  const k = secp256k1.utils.randomSecretKey()
  const x = secp256k1.getSharedSecret(k, raw(kmsPublicKey), true).slice(1)
  const nonce = crypto.getRandomValues(new Uint8Array(12))
  const cipher = createCipheriv('aes-256-gcm', aesKey(x), nonce)
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
  return { publicKey: hex(secp256k1.getPublicKey(k, true)), nonce: hex(nonce), ciphertext: hex(ciphertext) }
}

/** What the SDK does with the gateway's answer (interop 1.6): RSA box to exactly 32 bytes, HKDF, AES-GCM. */
export function openValue(
  user: Pick<NoxUser, 'privateKey'>,
  encryptedSharedSecret: string,
  value: StoredValue,
): string {
  const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }
  const x = privateDecrypt({ key: user.privateKey, ...padding }, raw(encryptedSharedSecret))
  if (x.length !== 32) throw new Error(`the box holds ${x.length} bytes`)
  const sealed = raw(value.ciphertext)
  const decipher = createDecipheriv('aes-256-gcm', aesKey(x), raw(value.nonce))
  decipher.setAuthTag(sealed.slice(-16))
  return hex(Buffer.concat([decipher.update(sealed.slice(0, -16)), decipher.final()]))
}

export interface DelegateKeys {
  readonly ephemeralPubKey: string
  readonly targetPubKey: string
}

/** The gateway's DelegateAuthorization. */
export const authorize = (account: PrivateKeyAccount, chainId: number, keys: DelegateKeys): Promise<Hex> =>
  account.signTypedData({
    domain: { name: 'ProtocolDelegate', version: '1', chainId },
    types: {
      DelegateAuthorization: [
        { name: 'ephemeralPubKey', type: 'string' },
        { name: 'targetPubKey', type: 'string' },
      ],
    },
    primaryType: 'DelegateAuthorization',
    message: { ...keys },
  })

export interface DelegateAnswer {
  readonly status: number
  readonly error?: string
  readonly encryptedSharedSecret: string
  /** Who signed the proof for this question's salt. */
  readonly prover?: string
}

/** One `POST /v0/delegate`, as the Handle Gateway sends it. */
export async function delegate(
  url: string,
  question: {
    readonly chainId: number
    readonly keys: DelegateKeys
    readonly signature: string
    readonly more?: object
  },
): Promise<DelegateAnswer> {
  const { chainId, keys, signature, more } = question
  const salt = hex(crypto.getRandomValues(new Uint8Array(32)))
  const response = await fetch(`${url}/v0/delegate?chain_id=${chainId}&salt=${salt}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${signature}` },
    body: JSON.stringify({ ...keys, ...more }),
  })
  const body = (await response.json()) as { error?: string; encryptedSharedSecret: string; proof: Hex }
  if (response.status !== 200) return { status: response.status, ...body }
  const { encryptedSharedSecret, proof } = body
  const prover = await recoverTypedDataAddress({
    domain: { name: 'ProtocolDelegate', version: '1', chainId, salt },
    types: { DelegateResponseProof: [{ name: 'encryptedSharedSecret', type: 'string' }] },
    primaryType: 'DelegateResponseProof',
    message: { encryptedSharedSecret },
    signature: proof,
  })
  return { status: 200, encryptedSharedSecret, prover }
}
