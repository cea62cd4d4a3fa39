import { constants, generateKeyPairSync, type KeyObject, privateDecrypt } from 'node:crypto'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { decodePoint, nobleCurve, noxDelegateTypedData, type PointBytes, Secret, sharedX } from '@tkms/dkg'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { onTestFinished } from 'vitest'
import { createRsaPolicy } from '../serve/rsa-policy.ts'
import { createWorkQueue } from '../serve/work-queue.ts'
import { systemClock } from '../system.ts'
import { type ClusterQuestion, createDelegateHandler, type ServedChain } from './delegate.ts'
import { createCombinerServer } from './server.ts'
import { createWallet } from './wallet.ts'

export const CHAIN = 421_614
export const SALT = `0x${'5a'.repeat(32)}`
export const hexOf = (bytes: Uint8Array): string => `0x${bytesToHex(bytes)}`
export const gateway = privateKeyToAccount(generatePrivateKey())
const walletKey = generatePrivateKey()
export const walletAccount = privateKeyToAccount(walletKey)
export const wallet = createWallet(new Secret(hexToBytes(walletKey.slice(2))))

const scalar = (last: number): Secret => new Secret(Uint8Array.from({ length: 32 }, (_, at) => (at === 31 ? last : 1)))
export const K: PointBytes = nobleCurve.mulSecret(nobleCurve.generator, scalar(7))
/** x of s*K, for the key s of this chain. */
export const sharedSecret = hexOf(sharedX(nobleCurve.mulSecret(K, scalar(9))))

export const rsaKey = (modulusLength: number, publicExponent = 65_537): { spki: Uint8Array; privateKey: KeyObject } => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength, publicExponent })
  return { spki: Uint8Array.from(publicKey.export({ type: 'spki', format: 'der' })), privateKey }
}
export const recipient = rsaKey(2048)
export const fields = { ephemeralPubKey: hexOf(K), targetPubKey: hexOf(recipient.spki) }

export const openBox = (box: string, key = recipient.privateKey): string =>
  hexOf(
    privateDecrypt(
      { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
      Buffer.from(box.slice(2), 'hex'),
    ),
  )

/** What the gateway signs. */
export function signDelegate(keys: typeof fields, account = gateway, chainId = CHAIN): Promise<string> {
  const { domain, types, primaryType, message } = noxDelegateTypedData({ ...keys, chainId })
  return account.signTypedData({ domain, types, primaryType, message } as Parameters<typeof account.signTypedData>[0])
}

export interface Question {
  readonly search?: string
  readonly keys?: object
  /** Instead of the JSON of `keys`. */
  readonly body?: BodyInit
  readonly headers?: Readonly<Record<string, string>>
}

export interface Served {
  readonly url: string
  /** What the cluster was asked. */
  readonly asked: ClusterQuestion[]
  /** Status, content type and body. */
  delegate(question?: Question): Promise<readonly [number, string | null, string]>
}

/** The combiner's HTTP side until the test ends; its cluster is one key, or what `answer` says. */
export async function serveChain(
  options: {
    readonly answer?: ServedChain['sharedSecret']
    readonly maxRunning?: number
    readonly maxWaiting?: number
  } = {},
): Promise<Served> {
  const asked: ClusterQuestion[] = []
  const whole = async ({ K: point }: ClusterQuestion): Promise<Secret> =>
    new Secret(sharedX(nobleCurve.mulSecret(decodePoint(nobleCurve, point), scalar(9))))
  const chain: ServedChain = {
    gateway: () => hexToBytes(gateway.address.slice(2)),
    sharedSecret: (question) => {
      asked.push(question)
      return (options.answer ?? whole)(question)
    },
  }
  const { maxRunning = 8, maxWaiting = 8 } = options
  const server = createCombinerServer({
    host: '127.0.0.1',
    port: 0,
    maxConnections: 64,
    requestTimeoutMs: 2_000,
    clock: systemClock,
    onError: (cause) => {
      throw cause
    },
    delegate: createDelegateHandler({
      chains: new Map([[CHAIN, chain]]),
      wallet,
      curve: nobleCurve,
      rsa: createRsaPolicy({ maxEntries: 16 }),
      queue: createWorkQueue({ maxRunning, maxWaiting }),
      onFailure: () => undefined,
    }),
  })
  await server.start()
  onTestFinished(() => server.stop())
  return {
    url: server.url,
    asked,
    async delegate({ search, keys = fields, body, headers } = {}) {
      const query = search ?? `chain_id=${CHAIN}&salt=${SALT}`
      const authorization = `Bearer ${await signDelegate(fields)}`
      const response = await fetch(`${server.url}/v0/delegate?${query}`, {
        method: 'POST',
        headers: headers ?? { 'content-type': 'application/json', authorization },
        body: body ?? JSON.stringify(keys),
      })
      return [response.status, response.headers.get('content-type'), await response.text()]
    },
  }
}
