import { sha512 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { u8, varBytes } from '../primitives/codec.ts'
import { id32 } from '../primitives/point.ts'

/** Length of REPORTDATA in TDX and SGX reports. */
export const REPORT_DATA_BYTES = 64
/** Nonces, hashes and keys that a quote binds. */
export const BOUND_BYTES = 32

/** What a quote speaks for; every field is 32 bytes, and one that is left out counts as zeros. */
export type ReportSubject = {
  readonly clusterId: Uint8Array
  /** Fresh from the verifier. */
  readonly nonce: Uint8Array
  /** Names the one connection that the quote is good for. */
  readonly channel?: Uint8Array | undefined
} & (
  | {
      readonly role: 'node'
      /** The node's Ed25519 identity key. */
      readonly identity: Uint8Array
      /** `certificatesHash` of what the node goes by. */
      readonly certificates?: Uint8Array | undefined
    }
  | {
      readonly role: 'requester'
      /** SHA-256 of the SPKI DER of the RSA key that answers are sealed to. */
      readonly rsaSpkiSha256: Uint8Array
    }
)

const TAG = utf8ToBytes('TKMS/1/report-data')
const ROLES = { node: 1, requester: 2 } as const
const ZEROS = new Uint8Array(BOUND_BYTES)

/**
 * REPORTDATA of a quote: SHA-512(var TAG || u8 role || var clusterId || var key || var certificates || var nonce || var channel),
 * `var` a u32 length before the bytes (docs/interfaces.md, attestation). The key is the node's identity or the hash of the requester's RSA key.
 * @returns 64 bytes
 * @throws KmsError `bad-encoding` where a field is not 32 bytes
 */
export function reportData(subject: ReportSubject): Uint8Array {
  const key = subject.role === 'node' ? subject.identity : subject.rsaSpkiSha256
  const certificates = subject.role === 'node' ? subject.certificates : undefined
  return sha512(
    concatBytes(
      varBytes(TAG),
      u8(ROLES[subject.role]),
      bound(subject.clusterId, 'clusterId'),
      bound(key, 'key'),
      bound(certificates ?? ZEROS, 'certificates'),
      bound(subject.nonce, 'nonce'),
      bound(subject.channel ?? ZEROS, 'channel'),
    ),
  )
}

const bound = (bytes: Uint8Array, field: string): Uint8Array => varBytes(id32(bytes, `report-data.${field}`))
