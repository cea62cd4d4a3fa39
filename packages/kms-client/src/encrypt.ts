import {
  anyOf,
  attempt,
  type Curve,
  encodePolicy,
  parsePublicKeyId,
  type PolicyExpression,
  type Principal,
  sealEnvelopeV1,
  sealEnvelopeV2,
  NONCE_BYTES,
} from '@tkms/dkg'
import { clientError } from './errors.ts'
import { randomBytes, randomScalar } from './random.ts'
import { SealedEnvelope } from './sealed-envelope.ts'
import type { KeySelector, TrustedCluster } from './trust.ts'

/** Who may open an envelope by its label: any one of these public key ids ("ed25519:..", "eip712:0x.."), or an expression. */
export type Owners = readonly string[] | PolicyExpression

const OWNER_RULE = 'the publicKeyId of its signer, "ed25519:<64 hex>" or "eip712:0x<40 hex>", in lower case'

interface EncryptCommon {
  /** A key name ("ecies/421614"), or a keyId. Needed only where the cluster has several keys. */
  readonly key?: KeySelector
  /** 32 bytes, the envelope's name; random unless given. */
  readonly handle?: Uint8Array
}

export interface EncryptV2Options extends EncryptCommon {
  readonly version?: 2
  /** Left out or empty: nobody by label, only other rules of the nodes' policies can say yes. */
  readonly owners?: Owners
  /** 0 = no chain. */
  readonly chainId?: number
}

/** ECIES:AES_GCM:v1, as Nox reads it: bound to no label and no owner. */
export interface EncryptV1Options extends EncryptCommon {
  readonly version: 1
}

export type EncryptOptions = EncryptV2Options | EncryptV1Options

/**
 * Encrypts offline: needs the cluster's certificates only.
 * @param plaintext at most 64 MiB; seal a data key for more
 * @throws KmsError `unknown-key`, `ambiguous-key`, `bad-argument`, `bad-parameters`, `too-large`
 */
export function encrypt(
  curve: Curve,
  trusted: TrustedCluster,
  plaintext: Uint8Array,
  options: EncryptOptions,
): SealedEnvelope {
  if (!(plaintext instanceof Uint8Array))
    throw clientError('bad-argument', 'the plaintext is bytes, a Uint8Array: of text, new TextEncoder().encode(text)')
  const key = trusted.key(options.key)
  const handle = options.handle ?? randomBytes(32)
  const k = randomScalar()
  try {
    if (options.version === 1) {
      const nonce = randomBytes(NONCE_BYTES)
      return new SealedEnvelope(sealEnvelopeV1(curve, { groupKey: key.groupKey, plaintext, handle, k, nonce }))
    }
    const policy = encodePolicy(ownerExpression(options.owners))
    const chainId = options.chainId ?? 0
    return new SealedEnvelope(
      sealEnvelopeV2(curve, { key, plaintext, chainId, handle, policy, k, aux: randomBytes(32) }),
    )
  } finally {
    k.destroy()
  }
}

function ownerExpression(owners: Owners | undefined): PolicyExpression | undefined {
  if (owners === undefined) return undefined
  if (typeof owners !== 'object') throw clientError('bad-argument', `owners is a list: each ${OWNER_RULE}`)
  if ('kind' in owners) return owners
  const principals = owners.map(ownerPrincipal)
  const [only] = principals
  return principals.length <= 1 ? only : anyOf(principals)
}

function ownerPrincipal(publicKeyId: string): Principal {
  const requester = attempt(() => parsePublicKeyId(publicKeyId))
  if (requester?.kind === 'ed25519') return { kind: 'ed25519', key: requester.key }
  if (requester?.kind === 'eip712') return { kind: 'ethereum', address: requester.address }
  throw clientError('bad-argument', `an owner is ${OWNER_RULE}`)
}
