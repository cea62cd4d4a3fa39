import { createCipheriv } from 'node:crypto'
import {
  type Answer,
  answerSignedBytes,
  type BatchItem,
  BOX_KEY_BYTES,
  BOX_NONCE,
  type DelegationRequest,
  encodeBatch,
  encodeSingle,
  pdecContext,
  Secret,
  type SignMessage,
} from '@tkms/dkg'
import { concatBytes } from '@noble/hashes/utils.js'
import type { Rng } from '../ports.ts'
import type { ServedKey } from './key-table.ts'
import { type RsaVerdict, wrapOaep } from './rsa-policy.ts'

type AcceptedRsaKey = Extract<RsaVerdict, { kind: 'accepted' }>

/** ctx of every partial in the answer to one request (protocol 10.1). */
export const answerContext = (served: ServedKey, request: DelegationRequest, requestHash: Uint8Array): Uint8Array =>
  pdecContext({
    purpose: served.key.purpose,
    keyId: served.key.keyId,
    epoch: served.key.epoch,
    sharingId: served.key.sharingId,
    index: served.index,
    requestId: request.requestId,
    requestHash,
  })

export interface BoxInput {
  readonly rsa: AcceptedRsaKey
  readonly served: ServedKey
  readonly request: DelegationRequest
  readonly ctx: Uint8Array
  /** In the order asked; one for a single request, and then a partial. */
  readonly items: readonly BatchItem[]
}

/** Boxes the outcomes to the requester's RSA key and signs the answer (interfaces 2, protocol 10.1). */
export function createAnswer(ports: { readonly rng: Rng; readonly sign: SignMessage }, input: BoxInput): Answer {
  const { served, request, ctx, items, rsa } = input
  const { index } = served
  const [only] = items
  const single = items.length === 1 && only?.kind === 'partial'
  const content = single ? encodeSingle({ index, ...only }) : encodeBatch({ index, items })
  const box = single ? wrapOaep(rsa.key, content) : boxBatch(ports.rng, { rsa, ctx, content })
  const signature = ports.sign(answerSignedBytes({ ctx, box, content }))
  return { index, sharingId: served.key.sharingId, requestId: request.requestId, box, signature }
}

function boxBatch(
  rng: Rng,
  { rsa, ctx, content }: { readonly rsa: AcceptedRsaKey; readonly ctx: Uint8Array; readonly content: Uint8Array },
): Uint8Array {
  const key = new Secret(rng.bytes(BOX_KEY_BYTES))
  try {
    return concatBytes(
      key.use((bytes) => wrapOaep(rsa.key, bytes)),
      key.use((bytes) => sealWithOpenSsl(bytes, ctx, content)),
    )
  } finally {
    key.destroy()
  }
}

/** What `sealBatch` makes, by OpenSSL: AES-256-GCM with the tag behind the ciphertext. */
function sealWithOpenSsl(key: Uint8Array, ctx: Uint8Array, content: Uint8Array): Uint8Array {
  const cipher = createCipheriv('aes-256-gcm', key, BOX_NONCE)
  cipher.setAAD(ctx)
  return concatBytes(cipher.update(content), cipher.final(), cipher.getAuthTag())
}
