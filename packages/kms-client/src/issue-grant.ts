import {
  attempt,
  type ClusterId,
  encodeGrant,
  encodeGrantBody,
  type GrantBody,
  grantStatement,
  itemPoint,
  parsePublicKeyId,
  type RequestItem,
  type VerifiedKey,
} from '@tkms/dkg'
import { clientError } from './errors.ts'
import { randomBytes } from './random.ts'
import { BACKDATE_SECONDS } from './signed-request.ts'
import type { RequestSigner } from './signer.ts'
import type { KeySelector } from './trust.ts'

const DEFAULT_LIFETIME_SECONDS = 3600
const MAX_LIFETIME_SECONDS = 366 * 24 * 3600

export interface GrantOptions {
  /** Who may ask: the publicKeyId of the requester's signer. */
  readonly requester: string
  /** SHA-256 of the SPKI of the RSA key that answers are boxed to (`requesterKey()` of the requester's client), 32 bytes. */
  readonly recipientSpkiHash: Uint8Array
  /** From now on, 1 to 366 days of seconds; 3600 unless given. */
  readonly lifetimeSeconds?: number
  /** The key of a v1 envelope, which names none itself. */
  readonly key?: KeySelector
  /** The chain of a v1 envelope; 0 = none. */
  readonly chainId?: number
}

export interface IssuedGrant {
  /** Encoded: what `decrypt(envelope, { grant })` takes. Worth nothing to others than the requester. */
  readonly grant: Uint8Array
  /** 32 bytes: the name that audit logs record with the release. Write it into the issuer's books. */
  readonly grantId: Uint8Array
  /** Unix seconds. */
  readonly expiresAt: number
}

/**
 * Signs a grant for one envelope, one requester and one RSA key.
 * @param input.item what would be asked for @throws KmsError `bad-argument`
 */
export async function issueGrant(input: {
  readonly issuer: RequestSigner
  readonly clusterId: ClusterId
  readonly key: VerifiedKey
  readonly item: RequestItem
  readonly options: GrantOptions
  readonly nowMs: number
}): Promise<IssuedGrant> {
  const { issuer, item, options } = input
  const { lifetimeSeconds = DEFAULT_LIFETIME_SECONDS } = options
  requireOptions(options, lifetimeSeconds)
  const nowSeconds = Math.floor(input.nowMs / 1000)
  const { chainId, handle } = item.version === 1 ? item : item.header.label
  const fields: GrantBody = {
    clusterId: input.clusterId,
    keyId: input.key.keyId,
    chainId,
    handle,
    K: itemPoint(item),
    recipientSpkiHash: options.recipientSpkiHash,
    requester: options.requester,
    notBefore: nowSeconds - BACKDATE_SECONDS,
    expiresAt: nowSeconds + lifetimeSeconds,
    grantId: randomBytes(32),
  }
  const body = encodeGrantBody(fields)
  const signature = await issuer.sign(grantStatement(fields, body))
  const { grantId, expiresAt } = fields
  return { grant: encodeGrant({ body, issuer: issuer.publicKeyId, signature }), grantId, expiresAt }
}

function requireOptions({ requester, recipientSpkiHash }: GrantOptions, lifetimeSeconds: number): void {
  if (!isAsker(requester))
    throw clientError(
      'bad-argument',
      'the requester of a grant is the publicKeyId of its signer, "ed25519:<64 hex>" or "eip712:0x<40 hex>", in lower case',
    )
  if (!(recipientSpkiHash instanceof Uint8Array) || recipientSpkiHash.length !== 32)
    throw clientError('bad-argument', "recipientSpkiHash is the SHA-256 of the requester's SPKI, 32 bytes")
  if (!Number.isInteger(lifetimeSeconds) || lifetimeSeconds < 1 || lifetimeSeconds > MAX_LIFETIME_SECONDS)
    throw clientError('bad-argument', `a grant holds for 1 to ${MAX_LIFETIME_SECONDS} seconds`)
}

function isAsker(requester: string): boolean {
  const kind = attempt(() => parsePublicKeyId(requester))?.kind
  return kind === 'ed25519' || kind === 'eip712'
}
