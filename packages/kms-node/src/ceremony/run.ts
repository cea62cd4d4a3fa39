import {
  bytesKey,
  type CeremonyId,
  type CeremonyInput,
  type CeremonyTimings,
  ceremonyId,
  type Fault,
  type KeygenSpec,
  type ParticipantIndex,
  type Secret,
  type VerifiedKey,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { EngineFrame, StatusFrame } from '../net/ceremony-frame.ts'
import type { CeremonyNetwork } from '../net/ceremony-protocol.ts'
import { maxCeremonyFrameBytes } from '../net/frame-caps.ts'
import type { RecordStore, Rng } from '../ports.ts'
import { type CeremonyArchive, saveArchive } from './archive.ts'
import { type CeremonyDriver, type CeremonyProgress, createCeremonyDriver, type DriverTimes } from './driver.ts'
import { startEngineProcess } from './engine-process.ts'
import { writeEvidence } from './evidence-files.ts'
import { drawViewSeeds } from './hedged-seeds.ts'
import type { CeremonyLog, KnownKey } from './service.ts'
import { type CeremonyStatus, initialStatus, type NamedMember } from './status.ts'

/** Room of one peer in the mailbox beside four of the longest frames. */
const MIN_MAILBOX_BYTES = 256 * 1024

export interface CeremonyRunPorts {
  readonly self: ParticipantIndex
  readonly timings: CeremonyTimings
  readonly identity: Secret
  readonly nodeSeed: Secret
  readonly store: RecordStore
  readonly network: CeremonyNetwork
  readonly rng: Rng
  readonly log: CeremonyLog
  readonly evidenceDirectory: string
  readonly installKey: (certificate: Uint8Array, share: Secret | undefined) => Promise<VerifiedKey>
  readonly nameOf: (index: number) => NamedMember
  /** Not known any more after a restart. */
  readonly proposedBy: NamedMember | undefined
  readonly publish: (status: CeremonyStatus) => void
}

/** One approved ceremony at this node, from its start to its archive. */
export interface CeremonyRun {
  readonly ceremony: CeremonyId
  readonly spec: KeygenSpec
  readonly status: CeremonyStatus
  /** Once decided. */
  readonly archive: CeremonyArchive | undefined
  /** Opens or resumes the engine. */
  start(): void
  /** It was decided in an earlier life of this node. */
  restore(archive: CeremonyArchive, known: KnownKey): void
  /** It is not started in this life of the node. */
  end(stage: 'expired' | 'failed', reason: string): void
  deliver(from: ParticipantIndex, frame: EngineFrame | StatusFrame): void
  /** A connection to this peer came up. */
  greet(peer: ParticipantIndex): void
  halt(): Promise<void>
}

export function createCeremonyRun(spec: KeygenSpec, ports: CeremonyRunPorts): CeremonyRun {
  const { store, network, log, nameOf } = ports
  const ceremony = ceremonyId(spec)
  let status = initialStatus(spec, 'running', ports.proposedBy)
  let archive: CeremonyArchive | undefined
  let driver: CeremonyDriver | undefined
  let finished: Promise<void> = Promise.resolve()

  const update = (change: Partial<CeremonyStatus>): void => {
    status = { ...status, ...change }
    ports.publish(status)
  }

  const onProgress = ({ phase, view, have, want, missing }: CeremonyProgress): void => {
    if (phase === 'complete') return
    update({ stage: 'running', phase, view, have, want, missing: missing.map(nameOf) })
  }

  const onFault = async (fault: Fault): Promise<void> => {
    const file = await writeEvidence(ports.evidenceDirectory, ceremony, fault)
    const { kind, certainty, summary } = fault
    const culprit = nameOf(fault.culprit)
    log.warn({ ceremony: status.ceremony, culprit, kind, certainty, summary, file }, 'ceremony-fault')
    update({ faults: [...status.faults, { culprit, kind, certainty, summary, file }] })
  }

  const install = async (certificate: Uint8Array, share: Secret | undefined): Promise<void> => {
    const key = await ports.installKey(certificate, share)
    log.info({ ceremony: status.ceremony, keyId: hex(key.keyId), holdsShare: share !== undefined }, 'key-installed')
    status = { ...status, holdsShare: share !== undefined, ...keyFields(key) }
  }

  const createDriver = (): CeremonyDriver =>
    createCeremonyDriver({
      ceremony,
      maxBytesPerPeer: MIN_MAILBOX_BYTES + 4 * maxCeremonyFrameBytes(spec.newConfig),
      store,
      startProcess: () =>
        startEngineProcess({ identity: ports.identity, spec, self: ports.self, timings: ports.timings }),
      drawSeeds: async (view) => drawViewSeeds(ports.rng, ports.nodeSeed, ceremony, view),
      send: (to, frame) => (to === 'all' ? network.broadcast(frame) : network.send(to, frame)),
      install,
      onProgress,
      onViewFailed: ({ reason, leader, missing }) => {
        log.warn({ ceremony: status.ceremony, reason, leader: nameOf(leader) }, 'ceremony-view-failed')
        update({ reason: nameMembers(reason, [leader, ...missing], nameOf) })
      },
      onRolledBack: (view) => log.error({ ceremony: status.ceremony, view }, 'ceremony-disk-rolled-back'),
      onFault,
      onRestart: (restarts, cause) =>
        log.error({ ceremony: status.ceremony, restarts, ...errorFields(cause) }, 'ceremony-process-restarted'),
    })

  const drive = async (current: CeremonyDriver): Promise<void> => {
    try {
      const result = await current.run()
      if (result.kind === 'halted') return
      await saveArchive(store, ceremony, result.archive)
      await store.erase('ceremony', bytesKey(ceremony))
      archive = result.archive
      log.info({ ceremony: status.ceremony, keyId: status.keyId, ...rounded(result.times) }, 'ceremony-complete')
      update({ stage: 'complete', phase: 'complete', missing: [] })
    } catch (cause) {
      log.error({ ceremony: status.ceremony, ...errorFields(cause) }, 'ceremony-failed')
      update({ stage: 'failed', reason: 'this node cannot go on with the ceremony: see its log, then restart it' })
    }
  }

  return {
    ceremony,
    spec,
    get status() {
      return status
    },
    get archive() {
      return archive
    },
    start: () => {
      driver = createDriver()
      finished = drive(driver)
      log.info({ ceremony: status.ceremony, keyName: spec.keyName, generation: spec.generation }, 'ceremony-started')
      ports.publish(status)
    },
    restore: (kept, { key, hasShare }) => {
      archive = kept
      update({ stage: 'complete', phase: 'complete', holdsShare: hasShare, ...keyFields(key) })
    },
    end: (stage, reason) => update({ stage, reason }),
    deliver: (from, frame) => {
      driver?.deliver(from, toInput(from, frame))
    },
    greet: (peer) => {
      driver?.deliver(peer, { type: 'peer-connected', peer })
    },
    halt: async () => {
      await driver?.halt()
      await finished
    },
  }
}

const rounded = (times: DriverTimes): Record<string, number> =>
  Object.fromEntries(Object.entries(times).map(([name, value]: [string, number]) => [name, Math.round(value)]))

const hex = (bytes: Uint8Array): string => `0x${bytesKey(bytes)}`

const keyFields = (key: VerifiedKey): Pick<CeremonyStatus, 'keyId' | 'sharingId' | 'publicKey'> => ({
  keyId: hex(key.keyId),
  sharingId: hex(key.sharingId),
  publicKey: hex(key.groupKey),
})

function toInput(from: ParticipantIndex, frame: EngineFrame | StatusFrame): CeremonyInput {
  switch (frame.type) {
    case 'message':
      return { type: 'message', signed: frame.signed }
    case 'certificate':
      return { type: 'certificate', certificate: frame.certificate }
    case 'statusRequest':
      return { type: 'status-request', from }
    case 'status': {
      const { messages, cert1 } = frame
      return { type: 'status', from, messages, ...(cert1 && { cert1 }) }
    }
    case 'fetch':
      return { type: 'fetch', from, sid: frame.sid, dealer: frame.dealer, dealHash: frame.dealHash }
  }
}

/** The engine knows members by index; people know them by name. */
function nameMembers(reason: string, members: readonly number[], nameOf: (index: number) => NamedMember): string {
  const named = [...new Set(members)].map((index) => `${index} = ${nameOf(index).name}`)
  return named.length === 0 ? reason : `${reason} (${named.join(', ')})`
}

/** Codes and public data only. */
const errorFields = (cause: unknown): Readonly<Record<string, unknown>> =>
  isKmsError(cause) ? { code: cause.code, data: cause.data } : { code: 'unexpected', error: String(cause) }
