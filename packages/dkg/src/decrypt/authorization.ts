import { dkgError } from '../errors.ts'
import type { Curve } from '../primitives/curve.ts'
import { decodeNodePublicKey, type VerifyMessage } from '../primitives/ed25519.ts'
import { attempt } from '../primitives/codec.ts'
import { formatHex, parseJson } from './json.ts'
import { MAX_PUBLIC_KEY_ID_BYTES, parsePublicKeyId, PUBLIC_KEY_ID, PUBLIC_KEY_ID_RULE } from './public-key-id.ts'
import { decodeRequest, type DelegationRequest, MAX_REQUEST_BYTES, requestSignedBytes } from './request.ts'

/** Room for Ed25519 (64), EIP-712 (65) and contract wallets. */
export const MAX_SIGNATURE_BYTES = 512

/** A signed request, as both transports carry it (interfaces 2). */
export interface Authorization {
  /** REQ, byte for byte what was hashed and signed. */
  readonly payload: Uint8Array
  readonly signature: Uint8Array
  readonly publicKeyId: string
}

export interface AuthorizationJson {
  readonly payload: string
  readonly signature: string
  readonly publicKeyId: string
}

export const formatAuthorization = (authorization: Authorization): AuthorizationJson => ({
  payload: formatHex(authorization.payload),
  signature: formatHex(authorization.signature),
  publicKeyId: authorization.publicKeyId,
})

/**
 * Reads the body of `POST /v1/delegate`.
 * @throws KmsError `bad-request` with all problems
 */
export function parseAuthorization(value: unknown): Authorization {
  return parseJson('bad-request', 'the authorization', value, (fields) => {
    const payload = fields.hex('payload', { min: 1, max: MAX_REQUEST_BYTES })
    const signature = fields.hex('signature', { min: 0, max: MAX_SIGNATURE_BYTES })
    const publicKeyId = fields.text('publicKeyId', {
      pattern: PUBLIC_KEY_ID,
      maxLength: MAX_PUBLIC_KEY_ID_BYTES,
      rule: PUBLIC_KEY_ID_RULE,
    })
    return { payload, signature, publicKeyId }
  })
}

/**
 * The request inside an authorization. The signature is not verified here.
 * @throws KmsError `bad-request` where request and authorization name different requesters, and what `decodeRequest` throws
 */
export function decodeAuthorization(curve: Curve, authorization: Authorization): DelegationRequest {
  const request = decodeRequest(curve, authorization.payload)
  if (request.publicKeyId !== authorization.publicKeyId)
    throw dkgError('bad-request', 'the request names another requester than its authorization')
  return request
}

/**
 * Whether the Ed25519 key named by the authorization signed its payload; false for every other kind of requester.
 * Admits the key anew on every call: a server that keeps admitted keys verifies `requestSignedBytes` itself.
 */
export function verifyAuthorization(verify: VerifyMessage, authorization: Authorization): boolean {
  const signer = attempt(() => parsePublicKeyId(authorization.publicKeyId))
  if (signer?.kind !== 'ed25519') return false
  const key = attempt(() => decodeNodePublicKey(signer.key, 'publicKeyId'))
  return key !== undefined && verify(key, requestSignedBytes(authorization.payload), authorization.signature)
}
