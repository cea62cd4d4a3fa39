import { concatBytes } from '@noble/hashes/utils.js'
import { eachPinned, type Pins } from '../ceremony/certificate-chain.ts'
import { followCertificates } from '../ceremony/follow-chains.ts'
import { MAX_CERTIFICATE_BYTES } from '../ceremony/certificate.ts'
import { memberAt } from '../ceremony/committee.ts'
import type { VerifiedKey } from '../ceremony/verify-certificate.ts'
import { dkgError } from '../errors.ts'
import { attempt, decodeAll, equalBytes, list, u16, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { SIGNATURE_BYTES, type VerifyMessage } from '../primitives/ed25519.ts'
import { participantIndex } from '../primitives/point.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { verificationShare } from '../sharing/feldman.ts'
import { answerSignedBytes } from './answer.ts'
import { decodeBatch, decodeSingle, MAX_BATCH_CONTENT_BYTES, MAX_BOX_BYTES } from './box.ts'
import { type PartialDecryption, pdecContext, verifyPartial } from './partial.ts'
import { decodeRequest, type DelegationRequest, MAX_REQUEST_BYTES, requestHash } from './request.ts'
import { itemPoint } from './request-item.ts'

/** The kind byte of evidence E6. */
export const WRONG_PARTIAL_KIND = 6
const EVIDENCE_VERSION = 1
const MAX_CHAIN = 256

/** What proves a wrong partial decryption to anyone who pins the cluster (protocol 7, E6). Holds no secret but D_j itself. */
export interface WrongPartial {
  /** CERTs from a pinned committee to the sharing that answered, 1..256 (`steps` and `support` of `followChains`). */
  readonly certificates: readonly Uint8Array[]
  /** Canonical REQ, as it was sent. */
  readonly request: Uint8Array
  readonly index: ParticipantIndex
  /** The box as it was answered. */
  readonly box: Uint8Array
  /** The node's signature, tag "resp", 64 bytes. */
  readonly signature: Uint8Array
  /** What the box held, as the requester's RSA key opened it. */
  readonly content: Uint8Array
}

/** u8 1 || u8 6 || list(var CERT) || var REQ || u16 index || var box || signature(64) || var content. */
export const encodeWrongPartialEvidence = (evidence: WrongPartial): Uint8Array =>
  concatBytes(
    u8(EVIDENCE_VERSION),
    u8(WRONG_PARTIAL_KIND),
    list(evidence.certificates, varBytes),
    varBytes(evidence.request),
    u16(evidence.index),
    varBytes(evidence.box),
    evidence.signature,
    varBytes(evidence.content),
  )

/** @throws KmsError `bad-encoding`, `bad-index` */
export function decodeWrongPartialEvidence(bytes: Uint8Array): WrongPartial {
  return decodeAll(bytes, 'evidence', (reader) => {
    if (reader.u8('version') !== EVIDENCE_VERSION || reader.u8('kind') !== WRONG_PARTIAL_KIND)
      throw dkgError('bad-encoding', 'not evidence of a wrong partial decryption')
    return {
      certificates: reader.list({ min: 1, max: MAX_CHAIN }, 'certificates', (item) =>
        item.var(MAX_CERTIFICATE_BYTES, 'certificate'),
      ),
      request: reader.var(MAX_REQUEST_BYTES, 'request'),
      index: participantIndex(reader.u16('index')),
      box: reader.var(MAX_BOX_BYTES, 'box'),
      signature: reader.take(SIGNATURE_BYTES, 'signature'),
      content: reader.var(MAX_BATCH_CONTENT_BYTES, 'content'),
    }
  })
}

/**
 * Who answered this request with a wrong partial decryption, from the pins alone (protocol 7, E6): the member's signature covers
 * the request, the sharing and the content, so neither the requester nor anybody else can have made a lie of an honest answer.
 * @returns the culprit, or undefined when the bytes prove nothing
 */
export function wrongPartialCulprit(
  curve: Curve,
  verify: VerifyMessage,
  bytes: Uint8Array,
  pins: Pins,
): ParticipantIndex | undefined {
  const evidence = attempt(() => decodeWrongPartialEvidence(bytes))
  const request = evidence && attempt(() => decodeRequest(curve, evidence.request))
  if (evidence === undefined || request === undefined) return undefined
  const key = sharingOf(curve, verify, pins, evidence.certificates, request)
  if (key === undefined || !asks(request, key)) return undefined
  const { index, box, content, signature } = evidence
  const { requestId } = request
  const { purpose, keyId, epoch, sharingId, config } = key
  const about = { purpose, keyId, epoch, sharingId, index, requestId, requestHash: requestHash(evidence.request) }
  const ctx = pdecContext(about)
  const member = memberAt(config, index)
  if (member === undefined || !verify(member.publicKey, answerSignedBytes({ ctx, box, content }), signature))
    return undefined
  return isSound(curve, key, request, { index, content, ctx }) ? undefined : index
}

function sharingOf(
  curve: Curve,
  verify: VerifyMessage,
  pins: Pins,
  certificates: readonly Uint8Array[],
  { keyId }: DelegationRequest,
): VerifiedKey | undefined {
  const keys = eachPinned(pins).flatMap(
    (pinned) => attempt(() => followCertificates(curve, verify, pinned, certificates)) ?? [],
  )
  return keys.find((key) => equalBytes(key.keyId, keyId))
}

const asks = (request: DelegationRequest, key: VerifiedKey): boolean =>
  key.purpose === 'ecies-dec' &&
  equalBytes(request.clusterId, key.config.clusterId) &&
  equalBytes(request.keyId, key.keyId) &&
  (request.sharingId === undefined || equalBytes(request.sharingId, key.sharingId))

/** Whether an honest node can have signed this content: one entry per item, and every partial proven. */
function isSound(
  curve: Curve,
  key: VerifiedKey,
  { items }: DelegationRequest,
  answer: { readonly index: ParticipantIndex; readonly content: Uint8Array; readonly ctx: Uint8Array },
): boolean {
  const { index, content, ctx } = answer
  const partials = attempt(() => readPartials(curve, index, items.length, content))
  if (partials === undefined) return false
  const share = verificationShare(curve, key.commitment, index)
  return items.every((item, at) => {
    const partial = partials[at]
    return (
      partial === undefined || verifyPartial(curve, { verificationShare: share, K: itemPoint(item), ctx, ...partial })
    )
  })
}

/** One entry per item, undefined where the node refused. @throws KmsError for content of another shape, count or node */
function readPartials(
  curve: Curve,
  index: ParticipantIndex,
  count: number,
  content: Uint8Array,
): (PartialDecryption | undefined)[] {
  const other = (): never => {
    throw dkgError('bad-box', 'the content is of another node or request')
  }
  if (count === 1) {
    const { index: from, ...partial } = decodeSingle(curve, content)
    return from === index ? [partial] : other()
  }
  const batch = decodeBatch(curve, content)
  if (batch.index !== index || batch.items.length !== count) return other()
  return batch.items.map((item) => (item.kind === 'partial' ? item : undefined))
}
