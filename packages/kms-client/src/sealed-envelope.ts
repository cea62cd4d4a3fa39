import {
  type Curve,
  decodeEnvelope,
  encodeEnvelope,
  type Envelope,
  type EnvelopeV1Json,
  type EnvelopeV2Json,
  formatEnvelope,
  parseEnvelope,
} from '@tkms/dkg'
import { clientError } from './errors.ts'

/** An envelope in both its forms (interfaces 4). `JSON.stringify` gives the JSON form. */
export class SealedEnvelope {
  readonly envelope: Envelope

  constructor(envelope: Envelope) {
    this.envelope = envelope
  }

  /** The binary form: "TKMS" || u8 version || canonical fields, the ciphertext last. */
  toBytes(): Uint8Array {
    return encodeEnvelope(this.envelope)
  }

  /** The JSON form: ours for version 2, the stored object of Nox for version 1. */
  toJSON(): EnvelopeV1Json | EnvelopeV2Json {
    return formatEnvelope(this.envelope)
  }
}

/** What `decrypt` reads: a sealed envelope, its binary form, its JSON text, or its parsed JSON. */
export type EnvelopeSource = SealedEnvelope | Uint8Array | string | object

const MAGIC_FIRST_BYTE = 0x54

/**
 * Reads an envelope in any of its forms. Bytes that do not start with the magic are taken as JSON text.
 * @throws KmsError `bad-envelope`, `bad-encoding`, `bad-point`, `unsupported`
 */
export function readEnvelope(curve: Curve, source: EnvelopeSource): Envelope {
  if (source instanceof SealedEnvelope) return source.envelope
  if (typeof source === 'string') return parseEnvelope(curve, parseJsonText(source))
  if (!(source instanceof Uint8Array)) return parseEnvelope(curve, source)
  if (source[0] === MAGIC_FIRST_BYTE) return decodeEnvelope(curve, source)
  return parseEnvelope(curve, parseJsonText(new TextDecoder().decode(source)))
}

function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw clientError('bad-envelope', 'this is neither a binary envelope nor JSON', { cause })
  }
}
