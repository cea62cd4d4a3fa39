import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { bytesToHex } from '@noble/hashes/utils.js'
import {
  anyOf,
  type Authorization,
  type ClusterId,
  type Curve,
  encodePolicy,
  encodeRequest,
  type EnvelopeV2,
  requestItemV2,
  requestSignedBytes,
  sealEnvelopeV2,
  Secret,
  type VerifiedKey,
} from '@tkms/dkg'

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length))

/** SPKI; that of an Ed25519 key ends in its 32 bytes. */
const der = (key: KeyObject): Uint8Array => new Uint8Array(key.export({ type: 'spki', format: 'der' }))

export interface RequesterOptions {
  readonly key: VerifiedKey
  readonly clusterId: ClusterId
  /** Where answers are boxed to; default: an RSA-2048 key of its own. */
  readonly spki?: Uint8Array
  /** Of the envelopes' labels; default: 0. */
  readonly chainId?: number
  /** The Ed25519 key that the envelopes' labels name; default: the requester's own. */
  readonly owner?: Uint8Array
  /** So many different envelopes are asked for in turn; default: each request has fresh ones. At least as many as a request has items. */
  readonly envelopes?: number
}

/** Owns envelopes and asks for them. @returns makes a signed request that no node has seen. @param items 1..256 */
export function createRequester(curve: Curve, options: RequesterOptions): (items: number) => Authorization {
  const { key, clusterId, chainId = 0, envelopes = 0 } = options
  const spki = options.spki ?? der(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey)
  const identity = generateKeyPairSync('ed25519')
  const publicKey = der(identity.publicKey).slice(-32)
  const publicKeyId = `ed25519:${bytesToHex(publicKey)}`
  const policy = encodePolicy(anyOf([{ kind: 'ed25519', key: options.owner ?? publicKey }]))
  const seal = (): EnvelopeV2 =>
    sealEnvelopeV2(curve, {
      key,
      plaintext: random(64),
      chainId,
      handle: random(32),
      policy,
      k: new Secret(random(32).fill(1, 0, 1)),
      aux: random(32),
    })
  const sealed = Array.from({ length: envelopes }, seal)
  let asked = 0
  const next = (): EnvelopeV2 => sealed[asked++ % envelopes] ?? seal()
  return (items) => {
    const nowSeconds = Math.floor(Date.now() / 1000)
    const payload = encodeRequest({
      clusterId,
      keyId: key.keyId,
      requestId: random(32),
      notBefore: nowSeconds - 10,
      expiresAt: nowSeconds + 300,
      spki,
      publicKeyId,
      evidence: [],
      items: Array.from({ length: items }, () => requestItemV2(next())),
    })
    return {
      payload,
      signature: new Uint8Array(sign(null, requestSignedBytes(payload), identity.privateKey)),
      publicKeyId,
    }
  }
}
