import { join } from 'node:path'
import { selectCurve } from '@tkms/curve-native'
import {
  checkCertificate,
  type Cluster,
  type ClusterNode,
  equalBytes,
  type ParticipantIndex,
  participantIndex,
  Secret,
  verifyEd25519,
} from '@tkms/dkg'
import { createSigner, publicKeyOf } from '../identity/ed25519-signer.ts'
import type { CeremonyFrame } from '../net/ceremony-frame.ts'
import type { CeremonyListener, CeremonyNetwork } from '../net/ceremony-protocol.ts'
import { type OpenedSetBack, openSetBackHere } from '../open-set-back.ts'
import { testCluster } from '../net/test-hosts.fixture.ts'
import type { RecordStore } from '../ports.ts'
import { storeError } from '../store/errors.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { systemClock, systemRng } from '../system.ts'
import type { CeremonyKeys, InstallOptions, KnownKey } from './ports.ts'
import { type CeremonyService, createCeremonyService } from './service.ts'
import { markSetBack } from './set-back.ts'
import { openSlotBook } from './slot-book.ts'
import type { CeremonyStatus } from './status.ts'

const seedOf = (index: number): Secret => new Secret(new Uint8Array(32).fill(index))

/** The keys of one node in memory; certificates are checked, chains are not. */
export interface TestKeys extends CeremonyKeys {
  readonly installed: { readonly sharingId: Uint8Array; readonly options: InstallOptions }[]
}

function testKeys(): TestKeys {
  const { curve } = selectCurve()
  const known: (KnownKey & { readonly share: Secret | undefined })[] = []
  const installed: TestKeys['installed'] = []
  const find = (sharingId: Uint8Array) => known.find(({ key }) => equalBytes(key.sharingId, sharingId))
  const put = (certificate: Uint8Array, share: Secret | undefined): KnownKey => {
    const key = { ...checkCertificate(curve, verifyEd25519, certificate), trustedBy: 'chain' as const }
    const before = find(key.sharingId)
    if (before !== undefined) known.splice(known.indexOf(before), 1)
    const kept = share?.use((bytes) => Secret.copyOf(bytes)) ?? before?.share
    const entry = { key, hasShare: kept !== undefined, share: kept }
    known.push(entry)
    return entry
  }
  return {
    installed,
    list: () => {
      const latest = known.toSorted(
        (left, right) => right.key.epoch - left.key.epoch || right.key.attempt - left.key.attempt,
      )
      return latest.filter((one, at) => latest.findIndex(({ key }) => equalBytes(key.keyId, one.key.keyId)) === at)
    },
    find,
    copyShare: (sharingId) => find(sharingId)?.share?.use((bytes) => Secret.copyOf(bytes)),
    install: async (certificate, share, options) => {
      const { key } = put(certificate, share)
      installed.push({ sharingId: key.sharingId, options })
      return key
    },
    learn: async (certificate) => put(certificate, undefined).key,
  }
}

/** One node: its ceremonies, with real engines in child processes, over records in memory. */
export interface WorldNode {
  readonly index: ParticipantIndex
  readonly store: RecordStore
  readonly keys: TestKeys
  readonly service: CeremonyService
  /** Starts again on the same records. */
  restart(): Promise<void>
  /** Starts again as a backup makes it that was taken after its keys were made and before its first ceremony. */
  forget(): Promise<void>
  /** What it waits for after that. */
  readonly restored: ReturnType<OpenedSetBack['state']>
  /** Its disk takes nothing more, or has room again. */
  setFull(full: boolean): void
  /** Nothing reaches it, nothing leaves it. */
  setAway(away: boolean): void
  until(ceremony: string, wanted: (status: CeremonyStatus) => boolean): Promise<CeremonyStatus>
}

export interface World {
  readonly cluster: Cluster
  readonly nodes: readonly WorldNode[]
  /** Everything that anybody sent, in order. */
  readonly sent: readonly { readonly from: number; readonly frame: CeremonyFrame }[]
  node(index: number): WorldNode
  stop(): Promise<void>
}

export interface WorldOptions {
  /** Members of the genesis committee, t = 2. */
  readonly n: number
  /** Further nodes in the address book. */
  readonly candidates?: number
  readonly directory: string
  readonly phaseBaseMs?: number
}

/** Nodes that hear each other at once, as long as nobody is away. */
export async function createWorld({ n, candidates = 0, directory, phaseBaseMs = 2_000 }: WorldOptions): Promise<World> {
  const cluster = testCluster(n, [])
  const book: ClusterNode[] = [
    ...cluster.nodes,
    ...Array.from({ length: candidates }, (_, at): ClusterNode => {
      const index = participantIndex(n + at + 1)
      const multiaddrs = ['/ip4/127.0.0.1/tcp/1']
      return {
        index,
        name: `node-${index}`,
        publicKey: publicKeyOf(seedOf(index)),
        multiaddrs,
        url: `http://127.0.0.1:${index}`,
      }
    }),
  ]
  const services = new Map<number, CeremonyService>()
  const listeners = new Map<number, CeremonyListener>()
  const setBacks = new Map<number, OpenedSetBack>()
  const away = new Set<number>()
  const sent: { from: number; frame: CeremonyFrame }[] = []
  const deliver = (from: ParticipantIndex, to: number, frame: CeremonyFrame): boolean => {
    sent.push({ from, frame })
    if (away.has(from) || away.has(to)) return false
    setImmediate(() => listeners.get(to)?.onFrame(from, frame))
    return true
  }
  const networkOf = (self: ParticipantIndex): CeremonyNetwork => ({
    send: (to, frame) => deliver(self, to, frame),
    broadcast: (frame) => {
      for (const { index } of book) if (index !== self) deliver(self, index, frame)
    },
    get connected() {
      return away.has(self) ? [] : book.map(({ index }) => index).filter((index) => index !== self && !away.has(index))
    },
    setPeers: () => {},
    addPeers: () => {},
    start: async () => {},
    stop: async () => {},
  })
  const createNode = async ({ index }: ClusterNode): Promise<WorldNode> => {
    const records = memoryStore()
    let isFull = false
    const store: RecordStore = {
      ...records,
      put: (kind, id, plaintext) =>
        isFull ? Promise.reject(storeError('disk-full', 'no room')) : records.put(kind, id, plaintext),
    }
    const keys = testKeys()
    const start = async (): Promise<CeremonyService> => {
      const slots = await openSlotBook(store)
      const log = { info: () => {}, warn: () => {}, error: () => {} }
      const setBack = await openSetBackHere({
        self: index,
        clusterId: cluster.config.clusterId,
        committees: () => [cluster.config],
        genesis: cluster.config,
        keys,
        store,
        slots,
        network: networkOf(index),
        nodes: () => book,
        ceremonies: () => service,
        destroys: () => ({ signedBy: () => [], take: async () => {} }),
        clock: systemClock,
        log,
      })
      const service: CeremonyService = createCeremonyService({
        awaited: setBack.awaited,
        cluster,
        self: index,
        timings: { phaseBaseMs, phasePerMemberMs: 1, retransmitMs: 200, retransmitMaxMs: 500 },
        identity: seedOf(index),
        sign: createSigner(seedOf(index)),
        nodeSeed: new Secret(new Uint8Array(32).fill(100 + index)),
        curve: selectCurve().curve,
        store,
        slots,
        network: networkOf(index),
        clock: systemClock,
        rng: systemRng,
        log,
        evidenceDirectory: join(directory, `evidence-${index}`),
        keys,
        addressBook: { nodes: () => book, add: async () => {} },
        dataDir: directory,
      })
      services.set(index, service)
      setBacks.set(index, setBack)
      listeners.set(index, setBack.listen(service))
      await service.start()
      return service
    }
    let service = await start()
    const greet = (): void => {
      for (const { index: peer } of book)
        if (peer !== index && !away.has(peer)) {
          service.onPeerConnected(peer)
          services.get(peer)?.onPeerConnected(index)
          setBacks.get(index)?.ask(peer)
          setBacks.get(peer)?.ask(index)
        }
    }
    return {
      index,
      store,
      keys,
      get service() {
        return service
      },
      restart: async () => {
        await service.stop()
        service = await start()
        greet()
      },
      forget: async () => {
        await service.stop()
        for (const kind of ['approval', 'ceremony'] as const)
          for (const id of await store.list(kind)) await store.erase(kind, id)
        await markSetBack(store)
        service = await start()
        greet()
      },
      get restored() {
        return setBacks.get(index)?.state()
      },
      setFull: (full) => {
        isFull = full
      },
      setAway: (isAway) => {
        if (isAway) away.add(index)
        else {
          away.delete(index)
          greet()
        }
      },
      until: (ceremony, wanted) =>
        new Promise((resolve) => {
          const look = (): boolean => {
            const status = service.list().find((one) => one.ceremony === ceremony)
            if (status !== undefined && wanted(status)) resolve(status)
            return status !== undefined && wanted(status)
          }
          if (look()) return
          const timer = setInterval(() => {
            if (look()) clearInterval(timer)
          }, 50)
        }),
    }
  }
  const nodes: WorldNode[] = []
  for (const node of book) nodes.push(await createNode(node))
  return {
    cluster,
    nodes,
    sent,
    node: (index) => {
      const node = nodes[index - 1]
      if (node === undefined) throw new Error(`no node ${index}`)
      return node
    },
    stop: async () => {
      await Promise.all(nodes.map(({ service }) => service.stop()))
    },
  }
}
