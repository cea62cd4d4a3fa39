import { createHash } from 'node:crypto'
import { attempt, decodeNodePublicKey, type NodePublicKey, type SignMessage, type VerifyMessage } from '@tkms/dkg'
import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'

const COMPONENTS = '("@status" "@path";req "@query";req "content-digest")'
const LABEL = 'tkms'
const TAG = 'tkms-status'
const INPUT = new RegExp(
  `^${LABEL}=(${COMPONENTS.replaceAll(/[()]/g, '\\$&')};created=([0-9]{1,12});keyid="0x([0-9a-f]{64})";alg="ed25519";tag="${TAG}")$`,
)
const SIGNATURE = new RegExp(`^${LABEL}=:([A-Za-z0-9+/]{86}==):$`)

/** What is signed: a response, and what it answers. */
export interface SignedMessage {
  readonly status: number
  /** Path and query as asked for: "/v1/status?nonce=0x..". */
  readonly target: string
  readonly body: string
}

const digestOf = (body: string): string => `sha-256=:${createHash('sha256').update(body).digest('base64')}:`

/** The signature base (RFC 9421, 2.5). */
function baseOf({ status, target }: SignedMessage, digest: string, parameters: string): Uint8Array {
  const { pathname, search } = new URL(target, 'http://localhost')
  return utf8ToBytes(
    [
      `"@status": ${status}`,
      `"@path";req: ${pathname}`,
      `"@query";req: ${search || '?'}`,
      `"content-digest": ${digest}`,
      `"@signature-params": ${parameters}`,
    ].join('\n'),
  )
}

/** Who signs. */
export interface MessageSigner {
  readonly publicKey: NodePublicKey
  readonly sign: SignMessage
}

/** Headers of an HTTP Message Signature (RFC 9421) over a whole response with its digest (RFC 9530), by a node's identity. */
export function signatureHeaders(
  message: SignedMessage,
  { sign, publicKey }: MessageSigner,
  nowSeconds: number,
): Readonly<Record<'content-digest' | 'signature-input' | 'signature', string>> {
  const digest = digestOf(message.body)
  const key = bytesToHex(publicKey)
  const parameters = `${COMPONENTS};created=${nowSeconds};keyid="0x${key}";alg="ed25519";tag="${TAG}"`
  const signature = Buffer.from(sign(baseOf(message, digest, parameters))).toString('base64')
  return {
    'content-digest': digest,
    'signature-input': `${LABEL}=${parameters}`,
    signature: `${LABEL}=:${signature}:`,
  }
}

/**
 * Whether a response was signed as `signatureHeaders` does. Freshness is the caller's: a nonce in the query that it chose.
 * @returns who signed it (Ed25519, 32 bytes) and when (Unix seconds), undefined where the signature does not hold
 */
export function verifySignatureHeaders(
  verify: VerifyMessage,
  message: SignedMessage,
  headers: { get(name: string): string | null },
): { readonly publicKey: NodePublicKey; readonly created: number } | undefined {
  const [, parameters = '', created = '', key = ''] = INPUT.exec(headers.get('signature-input') ?? '') ?? []
  const [, signature] = SIGNATURE.exec(headers.get('signature') ?? '') ?? []
  const digest = digestOf(message.body)
  if (parameters === '' || signature === undefined || headers.get('content-digest') !== digest) return undefined
  const publicKey = attempt(() => decodeNodePublicKey(hexToBytes(key)))
  if (publicKey === undefined) return undefined
  const holds = verify(publicKey, baseOf(message, digest, parameters), new Uint8Array(Buffer.from(signature, 'base64')))
  return holds ? { publicKey, created: Number(created) } : undefined
}
