import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes } from '@noble/hashes/utils.js'
import { SIGNATURE_BYTES } from '../primitives/ed25519.ts'
import { signedBytes } from '../primitives/hash.ts'
import { participantIndex } from '../primitives/point.ts'
import type { ParticipantIndex, SharingId } from '../primitives/types.ts'
import { MAX_BOX_BYTES } from './box.ts'
import { formatHex, parseJson } from './json.ts'

/** What a node returns when it does not refuse (interfaces 2). Only `box` carries the partial decryption. */
export interface Answer {
  /** The node's roster index. */
  readonly index: ParticipantIndex
  readonly sharingId: SharingId
  /** 32 bytes, from the request. */
  readonly requestId: Uint8Array
  /** What only the requester's RSA key opens. */
  readonly box: Uint8Array
  /** The node's Ed25519 signature, 64 bytes, over `answerSignedBytes`. */
  readonly signature: Uint8Array
}

export interface AnswerJson {
  readonly index: number
  readonly sharingId: string
  readonly requestId: string
  readonly box: string
  readonly signature: string
}

/**
 * What a node signs: tag "resp", ctx || SHA-256(box) || SHA-256(content) (protocol 10.1).
 * With the opened content a lie becomes provable to others; a box whose content does not match is dropped.
 */
export const answerSignedBytes = (answer: {
  readonly ctx: Uint8Array
  readonly box: Uint8Array
  /** The opened box. */
  readonly content: Uint8Array
}): Uint8Array => signedBytes('resp', concatBytes(answer.ctx, sha256(answer.box), sha256(answer.content)))

export const formatAnswer = (answer: Answer): AnswerJson => ({
  index: answer.index,
  sharingId: formatHex(answer.sharingId),
  requestId: formatHex(answer.requestId),
  box: formatHex(answer.box),
  signature: formatHex(answer.signature),
})

/**
 * Reads the JSON form of an answer.
 * @throws KmsError `bad-box` with all problems
 */
export function parseAnswer(value: unknown): Answer {
  const fixed32 = { min: 32, max: 32 }
  return parseJson('bad-box', 'the answer', value, (fields) => ({
    index: participantIndex(fields.integer('index', 1, 0xffff)),
    sharingId: fields.hex('sharingId', fixed32) as SharingId,
    requestId: fields.hex('requestId', fixed32),
    box: fields.hex('box', { min: 1, max: MAX_BOX_BYTES }),
    signature: fields.hex('signature', { min: SIGNATURE_BYTES, max: SIGNATURE_BYTES }),
  }))
}
