import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, equalBytes, type Reader, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { decodePoint, POINT_BYTES } from '../primitives/point.ts'
import type { KeyId, PointBytes } from '../primitives/types.ts'
import { DLEQ_PROOF_BYTES } from '../proofs/dleq.ts'
import { MAX_PLAINTEXT_BYTES, requireCiphertextLength, TAG_BYTES } from './aead.ts'
import { decodeHeader, encodeHeader, HEADER_BYTES } from './envelope-header.ts'
import { type EnvelopeV1, NONCE_BYTES } from './envelope-v1.ts'
import type { EnvelopeV2 } from './envelope-v2.ts'
import { formatHex, type JsonFields, parseJson } from './json.ts'
import { decodePolicy, MAX_POLICY_BYTES, policyHash } from './policy-expression.ts'

export type Envelope = EnvelopeV1 | EnvelopeV2

const MAGIC = utf8ToBytes('TKMS')
const MAX_CIPHERTEXT_BYTES = MAX_PLAINTEXT_BYTES + TAG_BYTES

/**
 * Binary form (interfaces 4): "TKMS" || u8 version, then
 * version 1: handle(32) || P K || nonce(12) || ct; version 2: var hdr || pi(64) || var policy || ct.
 */
export function encodeEnvelope(envelope: Envelope): Uint8Array {
  const head = concatBytes(MAGIC, u8(envelope.version))
  if (envelope.version === 1) return concatBytes(head, envelope.handle, envelope.K, envelope.nonce, envelope.ciphertext)
  const { header, proof, policy, ciphertext } = envelope
  return concatBytes(head, varBytes(encodeHeader(header)), proof, varBytes(policy), ciphertext)
}

/**
 * Reads the binary form of either version, strictly. Does not verify the proof: `verifyEnvelopeV2`.
 * @throws KmsError `bad-envelope`, `bad-encoding`, `bad-point`, `unsupported` for another version
 */
export function decodeEnvelope(curve: Curve, bytes: Uint8Array): Envelope {
  return decodeAll(bytes, 'envelope', (reader) => {
    if (!equalBytes(reader.take(MAGIC.length, 'envelope.magic'), MAGIC))
      throw dkgError('bad-envelope', 'these bytes do not start as an envelope', { data: { check: 'magic' } })
    const version = reader.u8('envelope.version')
    if (version === 1) return readV1(curve, reader)
    if (version === 2) return readV2(curve, reader)
    throw dkgError('unsupported', 'an envelope has version 1 or 2', { data: { version } })
  })
}

function readV1(curve: Curve, reader: Reader): EnvelopeV1 {
  const handle = reader.take(32, 'envelope.handle')
  const K = decodePoint(curve, reader.take(POINT_BYTES, 'envelope.K'), 'K')
  const nonce = reader.take(NONCE_BYTES, 'envelope.nonce')
  return { version: 1, handle, K, nonce, ciphertext: readCiphertext(reader) }
}

function readV2(curve: Curve, reader: Reader): EnvelopeV2 {
  const header = decodeHeader(curve, reader.var(HEADER_BYTES, 'envelope.header'))
  const proof = reader.take(DLEQ_PROOF_BYTES, 'envelope.proof')
  const policy = reader.var(MAX_POLICY_BYTES, 'envelope.policy')
  return requirePolicy({ version: 2, header, proof, policy, ciphertext: readCiphertext(reader) })
}

function readCiphertext(reader: Reader): Uint8Array {
  const ciphertext = reader.rest(MAX_CIPHERTEXT_BYTES, 'envelope.ciphertext')
  requireCiphertextLength(ciphertext)
  return ciphertext
}

function requirePolicy(envelope: EnvelopeV2): EnvelopeV2 {
  decodePolicy(envelope.policy)
  if (!equalBytes(policyHash(envelope.policy), envelope.header.label.policyHash))
    throw dkgError('bad-envelope', 'the policy is not the one in the label', { data: { check: 'policy' } })
  return envelope
}

/** What Nox stores: all values "0x" hex, no version field. */
export interface EnvelopeV1Json {
  readonly handle: string
  readonly ciphertext: string
  readonly public_key: string
  readonly nonce: string
}

/** All bytes as "0x" hex. `policy` is the encoded expression; its hash in the label follows from it. */
export interface EnvelopeV2Json {
  readonly version: 2
  readonly keyId: string
  readonly chainId: number
  readonly handle: string
  readonly policy: string
  readonly K: string
  readonly Kbar: string
  readonly keyCommitment: string
  readonly proof: string
  readonly ciphertext: string
}

/** The JSON form: Nox's stored object for version 1, ours for version 2. */
export function formatEnvelope(envelope: EnvelopeV1): EnvelopeV1Json
export function formatEnvelope(envelope: EnvelopeV2): EnvelopeV2Json
export function formatEnvelope(envelope: Envelope): EnvelopeV1Json | EnvelopeV2Json
export function formatEnvelope(envelope: Envelope): EnvelopeV1Json | EnvelopeV2Json {
  if (envelope.version === 1)
    return {
      handle: formatHex(envelope.handle),
      ciphertext: formatHex(envelope.ciphertext),
      public_key: formatHex(envelope.K),
      nonce: formatHex(envelope.nonce),
    }
  const { header, proof, policy, ciphertext } = envelope
  return {
    version: 2,
    keyId: formatHex(header.keyId),
    chainId: header.label.chainId,
    handle: formatHex(header.label.handle),
    policy: formatHex(policy),
    K: formatHex(header.K),
    Kbar: formatHex(header.Kbar),
    keyCommitment: formatHex(header.keyCommitment),
    proof: formatHex(proof),
    ciphertext: formatHex(ciphertext),
  }
}

/**
 * Reads the JSON form of either version. Without a `version` it is a Nox object, `public_key` or `publicKey`
 * (its `handleValueTag` is ignored: it says nothing that the tag of AES-GCM does not).
 * @throws KmsError `bad-envelope` with all problems, `bad-encoding` for a policy that is no expression
 */
export function parseEnvelope(curve: Curve, value: unknown): Envelope {
  return parseJson<Envelope>('bad-envelope', 'the envelope', value, (fields) =>
    fields.has('version') ? parseV2(curve, fields) : parseV1(curve, fields),
  )
}

const CIPHERTEXT = { min: TAG_BYTES, max: MAX_CIPHERTEXT_BYTES }
const exactly = (bytes: number): { readonly min: number; readonly max: number } => ({ min: bytes, max: bytes })

function parsePoint(curve: Curve, fields: JsonFields, name: string): PointBytes {
  const bytes = fields.hex(name, { ...exactly(POINT_BYTES), anyCase: true })
  return fields.parsed(name, () => decodePoint(curve, bytes, name)) ?? curve.generator
}

function parseV1(curve: Curve, fields: JsonFields): EnvelopeV1 {
  fields.has('handleValueTag')
  return {
    version: 1,
    handle: fields.hex('handle', { ...exactly(32), anyCase: true }),
    K: parsePoint(curve, fields, fields.has('publicKey') ? 'publicKey' : 'public_key'),
    nonce: fields.hex('nonce', { ...exactly(NONCE_BYTES), anyCase: true }),
    ciphertext: fields.hex('ciphertext', { ...CIPHERTEXT, anyCase: true }),
  }
}

function parseV2(curve: Curve, fields: JsonFields): EnvelopeV2 {
  fields.integer('version', 2, 2)
  const policy = fields.hex('policy', { min: 0, max: MAX_POLICY_BYTES })
  fields.parsed('policy', () => decodePolicy(policy))
  return {
    version: 2,
    header: {
      keyId: fields.hex('keyId', exactly(32)) as KeyId,
      label: {
        chainId: fields.integer('chainId', 0, Number.MAX_SAFE_INTEGER),
        handle: fields.hex('handle', exactly(32)),
        policyHash: policyHash(policy),
      },
      K: parsePoint(curve, fields, 'K'),
      Kbar: parsePoint(curve, fields, 'Kbar'),
      keyCommitment: fields.hex('keyCommitment', exactly(32)),
    },
    proof: fields.hex('proof', exactly(DLEQ_PROOF_BYTES)),
    policy,
    ciphertext: fields.hex('ciphertext', CIPHERTEXT),
  }
}
