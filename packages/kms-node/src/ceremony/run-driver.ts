import { type CeremonySpec, ceremonyId, leaderOf, type ParticipantIndex, Secret } from '@tkms/dkg'
import { maxCeremonyFrameBytes } from '../net/frame-caps.ts'
import { type CeremonyDriver, type CeremonyProgress, createCeremonyDriver, type NeededSeeds } from './driver.ts'
import { startEngineProcess } from './engine-process.ts'
import { writeEvidence } from './evidence-files.ts'
import { drawViewSeeds, type ViewSeeds } from './hedged-seeds.ts'
import { createPatientStore } from './patient-store.ts'
import type { CeremonyRunPorts } from './run-ports.ts'
import type { CeremonyStatus } from './status.ts'

/** Room of one peer in the mailbox beside four of the longest frames. */
const MIN_MAILBOX_BYTES = 256 * 1024

/** What the driver of a run tells it. */
export interface RunDriverEvents {
  /** IMPORT, at the importer; borrowed. */
  readonly importedKey: Secret | undefined
  readonly peers: readonly ParticipantIndex[]
  readonly install: (certificate: Uint8Array, share: Secret | undefined) => Promise<void>
  readonly status: () => CeremonyStatus
  readonly update: (change: Partial<CeremonyStatus>) => void
  /** This node's own messages. */
  readonly onSent: (signed: Uint8Array) => void
}

/** Wires the engine of one run to its node, and says in its status what happens. */
export function createRunDriver(spec: CeremonySpec, ports: CeremonyRunPorts, run: RunDriverEvents): CeremonyDriver {
  const { self, network, log, nameOf, keys } = ports
  const { update } = run
  const ceremony = ceremonyId(spec)
  const nowS = (): number => Math.floor(ports.clock.nowMs() / 1000)
  const waiting = new AbortController()

  const onProgress = ({ phase, view, have, want, missing }: CeremonyProgress): void => {
    const before = run.status()
    const moved = before.phase !== phase || before.view !== view || before.have !== have
    const stage = before.stage === 'running' && phase === 'left' ? 'left' : before.stage
    const ends = { leader: nameOf(leaderOf(spec.newConfig, ceremony, view)), viewLimitS: viewLimitS(view) }
    update({ stage, phase, view, ...ends, have, want, missing: missing.map(nameOf), ...(moved && { since: nowS() }) })
  }

  /** Five times T_phase of the view (protocol 4). */
  const viewLimitS = (view: number): number => {
    const { phaseBaseMs, phasePerMemberMs } = ports.timings
    return Math.ceil((5 * (phaseBaseMs + phasePerMemberMs * spec.newConfig.n) * 2 ** Math.min(view, 5)) / 1000)
  }

  /** The old share leaves the key table as a copy, for one step of one engine. */
  const drawSeeds = (needed: NeededSeeds): ViewSeeds => {
    const seeds = drawViewSeeds(ports.rng, ports.nodeSeed, ceremony, needed)
    // An engine that was opened to give the ceremony up gets nothing to deal.
    if (!needed.dealing || spec.kind === 'keygen' || run.status().stage !== 'running') return seeds
    const oldShare =
      spec.kind === 'reshare' ? keys.copyShare(spec.prevOutcome) : run.importedKey?.use((bytes) => Secret.copyOf(bytes))
    return oldShare === undefined ? seeds : { ...seeds, oldShare }
  }

  const store = createPatientStore(ports.store, {
    signal: waiting.signal,
    onWait: (full) => {
      const { reason: _room, ...rest } = run.status()
      log[full ? 'error' : 'info']({ ceremony: rest.ceremony }, full ? 'ceremony-disk-full' : 'ceremony-disk-has-room')
      update({ reason: full ? 'the disk of this node is full: it goes on by itself when there is room' : undefined })
    },
  })

  const driver = createCeremonyDriver({
    ceremony,
    maxBytesPerPeer: MIN_MAILBOX_BYTES + 4 * maxCeremonyFrameBytes({ ...spec.newConfig, nOld: membersOfOld(spec) }),
    store,
    startProcess: () =>
      startEngineProcess({
        identity: ports.identity,
        spec,
        self,
        timings: ports.timings,
        previous: spec.kind === 'reshare' ? keys.find(spec.prevOutcome)?.key : undefined,
        authorizations: spec.kind === 'keygen' ? undefined : ports.authorizations.of(spec),
      }),
    drawSeeds,
    send: (to, frame) => {
      if (frame.type === 'message') run.onSent(frame.signed)
      for (const peer of to === 'all' ? run.peers : [to]) network.send(peer, frame)
    },
    install: run.install,
    onProgress,
    onViewFailed: ({ view, reason, leader, missing }) => {
      const named = [...new Set([leader, ...missing])].map((index) => `${index} = ${nameOf(index).name}`).join(', ')
      log.warn({ ceremony: run.status().ceremony, view, reason, leader: nameOf(leader) }, 'ceremony-view-failed')
      update({ lastView: { view, reason: `${reason} (${named})` } })
    },
    onRolledBack: (view) => {
      log.error({ ceremony: run.status().ceremony, view }, 'ceremony-rolled-back')
      update({
        reason: `other nodes hold messages of this node that its disk lacks: it was set back to an earlier state. It takes part again above view ${view}; do not restore old copies of a data directory`,
      })
    },
    onAbandonRefused: (reason) => {
      log.warn({ ceremony: run.status().ceremony, reason }, 'ceremony-abandon-refused')
      update({ reason: `it cannot be abandoned here: ${reason}` })
    },
    onFault: async (fault) => {
      const file = await writeEvidence(ports.evidenceDirectory, ceremony, fault)
      const { kind, certainty, summary } = fault
      const culprit = nameOf(fault.culprit)
      const { ceremony: id, faults } = run.status()
      log.warn({ ceremony: id, culprit, kind, certainty, summary, file }, 'ceremony-fault')
      update({ faults: [...faults, { culprit, kind, certainty, summary, file }] })
    },
    onRestart: (restarts, cause) =>
      log.error({ ceremony: run.status().ceremony, restarts, cause: String(cause) }, 'ceremony-process-restarted'),
  })
  return {
    ...driver,
    halt: () => {
      waiting.abort()
      return driver.halt()
    },
  }
}

const membersOfOld = (spec: CeremonySpec): number => (spec.kind === 'keygen' ? 0 : spec.oldConfig.n)
