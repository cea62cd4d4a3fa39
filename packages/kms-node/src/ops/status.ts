import type { OwnAttestationState } from '../attest/own-attestation.ts'
import type { Measurement } from '../attest/quote.ts'
import { heldHash } from '../attest/report.ts'
import { bytesKey, type ClusterId, type Curve, type NodePublicKey } from '@tkms/dkg'
import type { KeyDescription } from '../keys/describe-key.ts'
import type { KeyDirectory } from '../keys/key-directory.ts'
import type { AttestationProvider, Clock } from '../ports.ts'
import type { RefusalReason } from '../attest/verdict.ts'
import type { CodeHash } from './code-hash.ts'
import type { AuditState } from './readiness.ts'

/** What a node says of its own proof; others believe the proof alone. */
export interface AttestationPosture {
  readonly provider: AttestationProvider
  /** As the platform measured it; hashes in lower-case hex. */
  readonly measurement?: Measurement
  /** Name of the entry of the node's own allow list that takes it. */
  readonly allowedAs?: string
  /** When quote or collateral end: Unix seconds. */
  readonly expires?: number
  /** Why the node would not take it itself. */
  readonly refused?: RefusalReason
}

export interface NodeStatus {
  readonly version: string
  /** 0x and hex, 32 bytes each: what runs, where it is one of the released programs. */
  readonly codeHash?: string
  readonly nativeHash?: string
  readonly runtime: string
  /** 0x and hex, 32 bytes each. */
  readonly clusterId: string
  readonly ed25519: string
  readonly name: string
  readonly profile: string
  readonly uptimeSeconds: number
  readonly time: number
  readonly sealing: string
  readonly curve: Curve['backend']
  readonly attestation: AttestationPosture
  readonly requestsUnderWay: number
  /** Whether releases can be recorded, and what keeps them from it: nothing is released then. */
  readonly audit: { readonly recording: boolean; readonly problem?: string }
  /** 0x and hex, 32 bytes: of the latest certificate of each of the keys, as proofs bind it. */
  readonly certificatesHash: string
  readonly keys: readonly KeyDescription[]
}

/** The public posture of a node (interfaces 6): `GET /v1/status`. */
export function createStatus(ports: {
  readonly version: string
  readonly code: CodeHash | undefined
  readonly clusterId: ClusterId
  readonly publicKey: NodePublicKey
  readonly name: string
  readonly profile: string
  readonly sealing: string
  readonly curve: Curve
  readonly attestation: () => OwnAttestationState
  readonly keys: KeyDirectory
  readonly pipeline: { readonly underWay: number }
  readonly audit: AuditState
  readonly clock: Clock
}): () => NodeStatus {
  const startMs = ports.clock.monotonicMs()
  const audit = (): NodeStatus['audit'] => {
    const problem = ports.audit.problem()
    return problem === undefined ? { recording: true } : { recording: false, problem }
  }
  const hex = (bytes: Uint8Array): string => `0x${bytesKey(bytes)}`
  const { code } = ports
  return () => {
    const keys = ports.keys.list()
    return {
      version: ports.version,
      ...(code && { codeHash: hex(code.code) }),
      ...(code?.native && { nativeHash: hex(code.native) }),
      runtime: process.version,
      clusterId: hex(ports.clusterId),
      ed25519: hex(ports.publicKey),
      name: ports.name,
      profile: ports.profile,
      uptimeSeconds: Math.floor((ports.clock.monotonicMs() - startMs) / 1000),
      time: Math.floor(ports.clock.nowMs() / 1000),
      sealing: ports.sealing,
      curve: ports.curve.backend,
      requestsUnderWay: ports.pipeline.underWay,
      attestation: postureOf(ports.attestation()),
      audit: audit(),
      certificatesHash: hex(heldHash(keys)),
      keys,
    }
  }
}

function postureOf({ expiresMs, ...said }: OwnAttestationState): AttestationPosture {
  return { ...said, ...(expiresMs !== undefined && { expires: Math.floor(expiresMs / 1000) }) }
}
