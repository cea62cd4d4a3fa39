import { generateKeyPairSync, sign } from 'node:crypto'
import { selectCurve } from '@tkms/curve-native'
import {
  type ClusterId,
  configHash,
  decodeNodePublicKey,
  equalBytes,
  type ParticipantIndex,
  participantIndex,
  Secret,
  type SignMessage,
  verifyCertificate,
  type VerifiedKey,
  verifyEd25519,
} from '@tkms/dkg'
import { runKeygen } from '@tkms/dkg/testing'
import type { CeremonyFrame } from '../net/ceremony-frame.ts'
import type { RecordStore } from '../ports.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { systemClock, systemRng } from '../system.ts'
import type { RepairKeys } from './ports.ts'
import { createRepairService, type RepairService } from './service.ts'

/** Nodes in one process: real services, stores in memory, a network that delivers in turns of the event loop. */

export interface TestNode {
  readonly index: ParticipantIndex
  readonly sign: SignMessage
  readonly store: RecordStore
  readonly events: string[]
  service: RepairService
  /** What its key store holds; undefined when it is lost. */
  share: Secret | undefined
  /** False once the key has a later sharing. */
  latest: boolean
  down: boolean
  /** Its disk takes nothing. */
  full: boolean
}

export interface RepairWorld {
  readonly key: VerifiedKey
  readonly shares: ReadonlyMap<ParticipantIndex, Secret>
  readonly nodes: readonly TestNode[]
  readonly frames: { readonly from: number; readonly to: number; readonly message: Uint8Array }[]
  node(index: number): TestNode
  /** The same node, store and key store in a new process. */
  restart(node: TestNode): Promise<void>
  stop(): Promise<void>
}

export async function repairWorld(n: number, t: number, evidenceDirectory: string): Promise<RepairWorld> {
  const members = Array.from({ length: n }, (_, at) => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    return {
      index: participantIndex(at + 1),
      publicKey: decodeNodePublicKey(new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(12))),
      sign: (message: Uint8Array) => new Uint8Array(sign(null, message, privateKey)),
    }
  })
  const { curve } = selectCurve()
  const clusterId = systemRng.bytes(32) as ClusterId
  const { spec, certificate, shares } = runKeygen({
    curve,
    members,
    t,
    clusterId,
    seedOf: () => new Secret(systemRng.bytes(32)),
  })
  const key = verifyCertificate(curve, verifyEd25519, certificate, { configHash: configHash(spec.newConfig) })
  const frames: RepairWorld['frames'] = []

  const send = (from: TestNode, to: number, frame: CeremonyFrame): boolean => {
    const peer = nodes.find((node) => node.index === to)
    if (peer === undefined || peer.down || from.down || frame.type !== 'repair') return false
    const message = Uint8Array.from(frame.message)
    frames.push({ from: from.index, to, message: Uint8Array.from(message) })
    setImmediate(() => peer.service.onFrame(from.index, message))
    return true
  }
  const keysOf = (node: TestNode): RepairKeys => ({
    list: () => (node.latest ? [{ key, isMember: true, hasShare: node.share !== undefined }] : []),
    copyShare: (sharingId) =>
      equalBytes(sharingId, key.sharingId) ? node.share?.use((bytes) => Secret.copyOf(bytes)) : undefined,
    repaired: async (_sharingId, share) => {
      requireRoom(node)
      node.share = share.use((bytes) => Secret.copyOf(bytes))
    },
  })
  const open = (node: TestNode): RepairService =>
    createRepairService({
      self: node.index,
      curve,
      sign: node.sign,
      keys: keysOf(node),
      store: {
        ...node.store,
        put: async (kind, id, record) => {
          requireRoom(node)
          await node.store.put(kind, id, record)
        },
      },
      network: {
        send: (to, frame) => send(node, to, frame),
        get connected() {
          return nodes.filter((peer) => !peer.down && peer !== node).map(({ index }) => index)
        },
      },
      clock: systemClock,
      rng: systemRng,
      nodeSeed: new Secret(systemRng.bytes(32)),
      timings: { retransmitMs: 20, retransmitMaxMs: 100 },
      log: {
        info: (_fields, event) => void node.events.push(event),
        warn: (_fields, event) => void node.events.push(event),
        error: (_fields, event) => void node.events.push(event),
      },
      evidenceDirectory,
      dataDir: `/srv/node-${node.index}`,
      nameOf: (index) => `node-${index}`,
    })
  const nodes = members.map((member): TestNode => {
    const node = { ...member, store: memoryStore(), events: [], latest: true, down: false, full: false }
    return { ...node, share: shares.get(member.index), service: undefined as unknown as RepairService }
  })
  for (const node of nodes) node.service = open(node)
  return {
    key,
    shares,
    nodes,
    frames,
    node: (index) => {
      const found = nodes.find((node) => node.index === index)
      if (found === undefined) throw new Error(`there is no node ${index}`)
      return found
    },
    restart: async (node) => {
      await node.service.stop()
      node.service = open(node)
      await node.service.start()
    },
    stop: async () => {
      await Promise.all(nodes.map(({ service }) => service.stop()))
    },
  }
}

function requireRoom({ full }: TestNode): void {
  if (full) throw new Error('ENOSPC')
}
