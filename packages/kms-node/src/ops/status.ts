import { bytesToHex } from '@noble/hashes/utils.js'
import type { Curve } from '@tkms/dkg'
import type { Clock } from '../ports.ts'
import type { KeyTable, ServedKey } from '../serve/key-table.ts'

const hex = (bytes: Uint8Array): string => `0x${bytesToHex(bytes)}`

/** A key as the HTTP API shows it. Public. */
export interface KeyDescription {
  readonly keyId: string
  readonly keyName: string
  readonly purpose: string
  readonly generation: number
  readonly epoch: number
  readonly sharingId: string
  readonly threshold: number
  /** Y, compressed. */
  readonly publicKey: string
  /** This node's index in the key's committee. */
  readonly index: number
  /** False while this node waits to be repaired. */
  readonly serving: boolean
  readonly certificate: string
}

export const describeKey = ({ key, index, hasShare }: ServedKey): KeyDescription => ({
  keyId: hex(key.keyId),
  keyName: key.keyName,
  purpose: key.purpose,
  generation: key.generation,
  epoch: key.epoch,
  sharingId: hex(key.sharingId),
  threshold: key.t,
  publicKey: hex(key.groupKey),
  index,
  serving: hasShare,
  certificate: hex(key.certificate),
})

export interface NodeStatus {
  readonly version: string
  readonly name: string
  readonly profile: string
  readonly uptimeSeconds: number
  readonly time: number
  readonly sealing: string
  readonly curve: Curve['backend']
  readonly requestsUnderWay: number
  readonly keys: readonly KeyDescription[]
}

/** The public posture of a node (interfaces 6): `GET /v1/status`. */
export function createStatus(ports: {
  readonly version: string
  readonly name: string
  readonly profile: string
  readonly sealing: string
  readonly curve: Curve
  readonly keyTable: KeyTable
  readonly pipeline: { readonly underWay: number }
  readonly clock: Clock
}): () => NodeStatus {
  const startMs = ports.clock.monotonicMs()
  return () => ({
    version: ports.version,
    name: ports.name,
    profile: ports.profile,
    uptimeSeconds: Math.floor((ports.clock.monotonicMs() - startMs) / 1000),
    time: Math.floor(ports.clock.nowMs() / 1000),
    sealing: ports.sealing,
    curve: ports.curve.backend,
    requestsUnderWay: ports.pipeline.underWay,
    keys: ports.keyTable.list().map(describeKey),
  })
}
