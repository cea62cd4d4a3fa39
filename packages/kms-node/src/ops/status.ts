import { bytesKey, type ClusterId, type Curve, type NodePublicKey } from '@tkms/dkg'
import type { KeyDescription } from '../keys/describe-key.ts'
import type { KeyDirectory } from '../keys/key-directory.ts'
import type { Clock } from '../ports.ts'
import type { CodeHash } from './code-hash.ts'
import type { AuditState } from './readiness.ts'

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
  readonly requestsUnderWay: number
  /** Whether releases can be recorded, and what keeps them from it: nothing is released then. */
  readonly audit: { readonly recording: boolean; readonly problem?: string }
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
  return () => ({
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
    audit: audit(),
    keys: ports.keys.list(),
  })
}
