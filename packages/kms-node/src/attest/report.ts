import { bytesKey, type ClusterId, type NodePublicKey } from '@tkms/dkg'
import { hexToBytes } from '@noble/hashes/utils.js'
import type { KeyDirectory } from '../keys/key-directory.ts'
import type { Log } from '../ops/log.ts'
import type { AttestationProvider, Attester } from '../ports.ts'
import { MAX_QUOTE_BYTES } from './quote-bytes.ts'
import { certificatesHash, reportData } from './report-data.ts'

/** Quotes asked for at once over HTTP: the platform gives one after the other. */
const MAX_UNDER_WAY = 8

/** What a node proves to anybody who gives it a nonce. Bytes are 0x and hex. */
export interface AttestationReport {
  readonly provider: Exclude<AttestationProvider, 'none'>
  readonly clusterId: string
  /** The node's identity. */
  readonly ed25519: string
  /** `certificatesHash` of the latest certificate of each key that the node lists; 32 bytes. */
  readonly certificatesHash: string
  /** The caller's. */
  readonly nonce: string
  /** Its REPORTDATA binds all of the above and no channel. */
  readonly quote: string
}

/** Why there is none. */
export type NoReport = 'no-attestation' | 'attestation-unavailable' | 'busy'

/** @param nonce 32 bytes from the verifier. Never rejects. */
export type Report = (nonce: Uint8Array, signal: AbortSignal) => Promise<AttestationReport | NoReport>

export function createReport(ports: {
  readonly attester: Attester
  readonly clusterId: ClusterId
  readonly identity: NodePublicKey
  readonly keys: Pick<KeyDirectory, 'list'>
  readonly log: Pick<Log, 'error'>
}): Report {
  const { attester, clusterId, identity, keys, log } = ports
  const { provider } = attester
  let underWay = 0
  return async (nonce, signal) => {
    if (provider === 'none') return 'no-attestation'
    if (underWay >= MAX_UNDER_WAY) return 'busy'
    underWay++
    try {
      const certificates = heldHash(keys.list())
      const subject = { role: 'node', clusterId, identity, certificates, nonce } as const
      const quote = await attester.quote(reportData(subject), signal)
      if (quote === undefined || quote.length === 0 || quote.length > MAX_QUOTE_BYTES) return 'attestation-unavailable'
      return {
        provider,
        clusterId: hex(clusterId),
        ed25519: hex(identity),
        certificatesHash: hex(certificates),
        nonce: hex(nonce),
        quote: hex(quote),
      }
    } catch (cause) {
      log.error({ cause, provider }, 'attestation-unavailable')
      return 'attestation-unavailable'
    } finally {
      underWay--
    }
  }
}

/** `certificatesHash` of keys as a node lists them. @returns 32 bytes */
export const heldHash = (keys: readonly { readonly keyId: string; readonly certificate: string }[]): Uint8Array =>
  certificatesHash(
    keys.map(({ keyId, certificate }) => ({
      keyId: hexToBytes(keyId.slice(2)),
      certificate: hexToBytes(certificate.slice(2)),
    })),
  )

const hex = (bytes: Uint8Array): string => `0x${bytesKey(bytes)}`
