import type { CeremonyId, ParticipantIndex, RepairEnd, RepairPhase, VerifiedKey } from '@tkms/dkg'
import { writeEvidence } from '../ceremony/evidence-files.ts'
import { COMMAND } from '../command.ts'
import type { RepairServiceParams } from './ports.ts'
import type { RepairRecords, RepairRole } from './records.ts'
import type { RepairRunPorts } from './run.ts'
import { aboutKey, adviseOnRepair, hexId, type NamedNode, type RepairStatus } from './status.ts'

/** What one run is about. */
export interface RunOf {
  readonly role: RepairRole
  /** Hex, as its record is named. */
  readonly id: string
  /** 32 bytes that name its evidence. */
  readonly rid: Uint8Array
  readonly key: VerifiedKey
  readonly recoverer: ParticipantIndex
}

/** What every run shares: where its state goes, what is told of it. */
export interface RunContext {
  readonly params: RepairServiceParams
  portsOf(of: RunOf): Omit<RepairRunPorts<never>, 'answer'>
  erase(role: RepairRole, id: string): Promise<void>
  /** A run that was never durable is not shown any more. */
  forget(id: string): void
  /** @param requestOf of the repairs of this node, by the hex of their ids */
  statuses(requestOf: (id: string) => Uint8Array | undefined): readonly RepairStatus[]
}

type Draft = Omit<RepairStatus, 'advice'>

export function createRunContext(params: RepairServiceParams, records: RepairRecords): RunContext {
  const { log, network, clock, nameOf } = params
  const drafts = new Map<string, Draft>()
  const named = (index: number): NamedNode => ({ index, name: nameOf(index) })
  const nowS = (): number => Math.floor(clock.nowMs() / 1000)
  const about = ({ key, recoverer, role, id }: RunOf): Readonly<Record<string, unknown>> => ({
    role,
    id,
    ...aboutKey(key),
    recoverer,
  })

  const change = (of: RunOf, phase: RepairPhase, more: Partial<Draft>): void => {
    const before = drafts.get(of.id)
    drafts.set(of.id, {
      id: `0x${of.id}`,
      role: of.role,
      ...aboutKey(of.key),
      recoverer: named(of.recoverer),
      missing: [],
      approved: [],
      refusals: [],
      ...(before?.end !== undefined && { end: before.end }),
      ...more,
      phase,
      since: before?.phase === phase ? before.since : nowS(),
    })
  }

  const finished = (of: RunOf, reason: RepairEnd): void => {
    log.info({ ...about(of), reason }, 'repair-finished')
    change(of, 'done', { end: reason })
  }

  return {
    params,
    portsOf: (of) => {
      drafts.delete(of.id)
      change(of, of.role === 'helper' ? 'waiting' : 'seeding', {})
      return {
        persist: (snapshot) => records.put(of.role, of.id, of.key.sharingId, snapshot),
        send: (to, message) => {
          network.send(to, { type: 'repair', message })
        },
        onFault: (fault) => {
          const { culprit, kind, certainty } = fault
          log.warn({ ...about(of), culprit: nameOf(culprit), kind, certainty, summary: fault.summary }, 'repair-fault')
          writeEvidence(params.evidenceDirectory, of.rid as CeremonyId, fault).catch((cause: unknown) => {
            log.error({ ...about(of), cause }, 'evidence-not-written')
          })
        },
        onDispute: (between) =>
          log.warn({ ...about(of), between: between.map(nameOf), remedy: 'one of the two lies' }, 'repair-dispute'),
        onProgress: ({ phase, missing, contributed = [], refusals }) => {
          change(of, phase, {
            missing: missing.map(named),
            approved: contributed.map(named),
            refusals: refusals.map(({ helper, reason }) => ({ node: named(helper), reason })),
          })
          if (of.role === 'helper' && phase === 'waiting') log.warn(about(of), 'repair-requested')
        },
        onFinished: async (reason) => finished(of, reason),
        onBroken: (cause) => {
          log.error({ ...about(of), cause }, 'repair-interrupted')
          const before = drafts.get(of.id)
          if (before !== undefined) drafts.set(of.id, { ...before, interrupted: true })
        },
      }
    },
    erase: (role, id) => records.erase(role, id),
    forget: (id) => drafts.delete(id),
    statuses: (requestOf) =>
      [...drafts.values()].map((known) => {
        const request = known.role === 'recoverer' ? requestOf(known.id.slice(2)) : undefined
        const draft = request === undefined ? known : { ...known, request: hexId(request) }
        const connected = (index: number): boolean => network.connected.some((peer) => peer === index)
        const advice = adviseOnRepair(draft, { command: COMMAND, dataDir: params.dataDir, connected })
        return advice === undefined ? draft : { ...draft, advice }
      }),
  }
}
