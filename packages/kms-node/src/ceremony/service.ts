import {
  bytesKey,
  type CeremonyTimings,
  type Cluster,
  ceremonyId,
  encodeSpec,
  equalBytes,
  type KeygenSpec,
  type ParticipantIndex,
  type Purpose,
  parseKeyName,
  type Secret,
  type VerifiedKey,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import { type CeremonyFrame, isEngineFrame, type StatusFrame } from '../net/ceremony-frame.ts'
import type { CeremonyListener, CeremonyNetwork } from '../net/ceremony-protocol.ts'
import { maxCeremonyFrameBytes } from '../net/frame-caps.ts'
import type { Clock, RecordStore, Rng } from '../ports.ts'
import { createTurns } from '../turns.ts'
import { createApprovals } from './approvals.ts'
import { answerLate, loadArchive } from './archive.ts'
import { ceremonyError } from './errors.ts'
import { createProposals } from './proposals.ts'
import { type CeremonyRun, createCeremonyRun } from './run.ts'
import { type CeremonyStatus, initialStatus, type NamedMember } from './status.ts'
import { createWaitingRoom } from './waiting-room.ts'

/** Ceremonies under way at once at this node. */
const MAX_RUNNING = 8
const DEFAULT_LIFETIME_S = 24 * 3600

/** The log, as ceremonies use it: an event and public fields, never a secret. */
export interface CeremonyLog {
  info(fields: Readonly<Record<string, unknown>>, event: string): void
  warn(fields: Readonly<Record<string, unknown>>, event: string): void
  error(fields: Readonly<Record<string, unknown>>, event: string): void
}

/** A certified key, and whether this node holds a share of it. */
export interface KnownKey {
  readonly key: VerifiedKey
  readonly hasShare: boolean
}

export interface CeremonyServiceParams {
  readonly cluster: Cluster
  readonly self: ParticipantIndex
  readonly timings: CeremonyTimings
  readonly identity: Secret
  readonly nodeSeed: Secret
  readonly store: RecordStore
  readonly network: CeremonyNetwork
  readonly clock: Clock
  readonly rng: Rng
  readonly log: CeremonyLog
  readonly evidenceDirectory: string
  /** Every key of this node, with the ceremony that made it. */
  readonly keys: () => readonly KnownKey[]
  /** Durable and checked when it resolves; the same key again is fine. `share` is borrowed. */
  readonly installKey: (certificate: Uint8Array, share: Secret | undefined) => Promise<VerifiedKey>
}

export interface ProposeInput {
  readonly keyName: string
  readonly purpose: Purpose
  /** Default: the one after the highest known. */
  readonly generation?: number | undefined
  /** Nodes do not start after this many seconds from now; default one day. */
  readonly lifetimeS?: number | undefined
}

/** All ceremonies of one node: proposals, approvals, running engines, and answers to late members. */
export interface CeremonyService extends CeremonyListener {
  /** Resumes every undecided ceremony; call before the network starts. */
  start(): Promise<void>
  /** Ends the engines; they resume at the next start. */
  stop(): Promise<void>
  /** Proposes a key generation to the committee and approves it here. @throws KmsError `key-exists`, `slot-taken`, `bad-config` */
  propose(input: ProposeInput): Promise<CeremonyStatus>
  /** @param id 64 hex digits, `0x` optional, or a unique beginning of at least 8 */
  approve(id: string): Promise<CeremonyStatus>
  list(): readonly CeremonyStatus[]
  /** @throws KmsError `unknown-ceremony` */
  find(id: string): CeremonyStatus
  /** Called on every change of any ceremony, until the returned function is called. */
  subscribe(listener: (status: CeremonyStatus) => void): () => void
}

export function createCeremonyService(params: CeremonyServiceParams): CeremonyService {
  const { cluster, self, store, network, clock, log } = params
  const nowS = (): number => Math.floor(clock.nowMs() / 1000)
  const approvals = createApprovals(store)
  const proposals = createProposals(cluster, nowS)
  const waitingRoom = createWaitingRoom(4 * maxCeremonyFrameBytes(cluster.config))
  const inTurn = createTurns()
  let stopped = false
  const runs = new Map<string, CeremonyRun>()
  const listeners = new Set<(status: CeremonyStatus) => void>()
  const nameOf = (index: number): NamedMember => ({
    index,
    name: cluster.nodes.find((node) => node.index === index)?.name ?? '',
  })
  const publish = (status: CeremonyStatus): void => {
    for (const listener of listeners) listener(status)
  }

  const createRun = (spec: KeygenSpec, proposedBy?: ParticipantIndex): CeremonyRun =>
    createCeremonyRun(spec, {
      self,
      timings: params.timings,
      identity: params.identity,
      nodeSeed: params.nodeSeed,
      store,
      network,
      rng: params.rng,
      log,
      evidenceDirectory: params.evidenceDirectory,
      installKey: params.installKey,
      nameOf,
      proposedBy: proposedBy === undefined ? undefined : nameOf(proposedBy),
      publish,
    })

  const openRun = (spec: KeygenSpec, proposedBy: ParticipantIndex): CeremonyRun => {
    const run = createRun(spec, proposedBy)
    runs.set(bytesKey(run.ceremony), run)
    run.start()
    for (const { from, frame } of waitingRoom.claim(run.ceremony)) run.deliver(from, frame)
    return run
  }

  const resume = async (spec: KeygenSpec): Promise<void> => {
    const ceremony = ceremonyId(spec)
    const snapshot = (await store.list('ceremony')).includes(bytesKey(ceremony))
    const archive = await loadArchive(store, ceremony)
    const key = params.keys().find((known) => equalBytes(known.key.ceremony, ceremony))
    const run = createRun(spec)
    runs.set(bytesKey(ceremony), run)
    if (archive !== undefined && key !== undefined) {
      if (snapshot) await store.erase('ceremony', bytesKey(ceremony))
      run.restore(archive, key)
    } else if (!snapshot && key !== undefined) run.restore({ certificate: key.key.certificate, dealings: [] }, key)
    else if (!snapshot && archive !== undefined)
      run.end('failed', 'it was decided, but its key does not load: see the log')
    else if (!snapshot && spec.notAfter < nowS()) run.end('expired', 'its time ran out before it began at this node')
    else run.start()
  }

  const requireRoom = (): void => {
    if ([...runs.values()].filter((run) => run.status.stage === 'running').length >= MAX_RUNNING)
      throw ceremonyError('too-many-ceremonies', 'too many ceremonies are under way at this node', { retryable: true })
  }

  /** One at a time: two engines of one ceremony, or two X in one slot, would make this node contradict itself. */
  const begin = (spec: KeygenSpec, proposedBy: ParticipantIndex): Promise<CeremonyStatus> =>
    inTurn(async () => {
      const known = runs.get(bytesKey(ceremonyId(spec)))
      if (known !== undefined) return known.status
      if (stopped) throw ceremonyError('stopping', 'the node is stopping', { retryable: true })
      requireRoom()
      await approvals.approve(spec)
      return openRun(spec, proposedBy).status
    })

  const statuses = (): readonly CeremonyStatus[] => [
    ...[...runs.values()].map((run) => run.status),
    ...proposals.list().map(({ spec, proposedBy }) => initialStatus(spec, 'proposed', nameOf(proposedBy))),
  ]

  const find = (id: string): CeremonyStatus => {
    const wanted = id.toLowerCase().replace(/^0x/, '')
    const matches = statuses().filter(({ ceremony }) => wanted.length >= 8 && ceremony.startsWith(`0x${wanted}`))
    const [match] = matches
    if (match === undefined || matches.length > 1)
      throw ceremonyError(
        'unknown-ceremony',
        'no ceremony here, or more than one, has this id: ceremony status lists them',
        { data: { id: wanted } },
      )
    return match
  }

  /** What others only propose counts while it leaves no gap: else one of them could use up the numbers. */
  const nextGeneration = (keyName: string, purpose: Purpose): number => {
    const generationsOf = (known: readonly Pick<CeremonyStatus, 'keyName' | 'purpose' | 'generation'>[]): number[] =>
      known.filter((one) => one.keyName === keyName && one.purpose === purpose).map(({ generation }) => generation)
    const here = [...params.keys().map(({ key }) => key), ...[...runs.values()].map(({ status }) => status)]
    const proposed = new Set(generationsOf(proposals.list().map(({ spec }) => spec)))
    let next = 1 + Math.max(0, ...generationsOf(here))
    while (proposed.has(next)) next++
    return next
  }

  const onProposal = (from: ParticipantIndex, bytes: Uint8Array): void => {
    try {
      const received = proposals.receive(from, bytes)
      if (received === undefined) return
      const id = bytesKey(ceremonyId(received.spec))
      if (runs.has(id)) return proposals.remove(id)
      const status = initialStatus(received.spec, 'proposed', nameOf(from))
      log.info({ ceremony: status.ceremony, keyName: status.keyName, proposedBy: from }, 'ceremony-proposed')
      publish(status)
    } catch (cause) {
      if (!isKmsError(cause)) throw cause
      log.warn({ from, code: cause.code }, 'proposal-refused')
    }
  }

  /** A member that starts anew is told what waits here from it, also for a ceremony that is not approved here (protocol 5). */
  const onStatus = (from: ParticipantIndex, frame: StatusFrame): void => {
    const { ceremony } = frame
    const run = runs.get(bytesKey(ceremony))
    if (run?.archive !== undefined) {
      if (frame.type === 'statusRequest')
        network.send(from, { type: 'certificate', ceremony, certificate: run.archive.certificate })
    } else if (run !== undefined) run.deliver(from, frame)
    else if (frame.type === 'statusRequest')
      network.send(from, { type: 'status', ceremony, messages: waitingRoom.messagesFrom(ceremony, from) })
  }

  const onFrame = (from: ParticipantIndex, frame: CeremonyFrame): void => {
    if (frame.type === 'proposal') return onProposal(from, frame.spec)
    if (frame.type === 'statusRequest' || frame.type === 'status') return onStatus(from, frame)
    if (!isEngineFrame(frame)) return
    const run = runs.get(bytesKey(frame.ceremony))
    if (run === undefined) return waitingRoom.add(from, frame)
    if (run.archive === undefined) return run.deliver(from, frame)
    const answer = answerLate(run.ceremony, run.archive, frame)
    if (answer !== undefined) network.send(from, answer)
  }

  return {
    start: async () => {
      for (const spec of await approvals.list()) if (spec.kind === 'keygen') await resume(spec)
    },
    stop: () =>
      inTurn(async () => {
        stopped = true
        await Promise.all([...runs.values()].map((run) => run.halt()))
      }),
    propose: async ({ keyName, purpose, generation, lifetimeS }) => {
      const chosen = generation ?? nextGeneration(parseKeyName(keyName), purpose)
      const taken = params
        .keys()
        .some(({ key }) => key.keyName === keyName && key.purpose === purpose && key.generation === chosen)
      if (taken)
        throw ceremonyError('key-exists', 'this key has this generation already', { data: { generation: chosen } })
      const spec: KeygenSpec = {
        kind: 'keygen',
        suite: 1,
        clusterId: cluster.config.clusterId,
        purpose,
        keyName: parseKeyName(keyName),
        generation: chosen,
        epoch: 0,
        attempt: 0,
        newConfig: cluster.config,
        notAfter: nowS() + (lifetimeS ?? DEFAULT_LIFETIME_S),
      }
      const status = await begin(spec, self)
      network.broadcast({ type: 'proposal', spec: encodeSpec(spec), nodes: [] })
      return status
    },
    approve: async (id) => {
      const { ceremony } = find(id)
      const hex = ceremony.slice(2)
      const known = runs.get(hex)
      if (known !== undefined) return known.status
      const proposal = proposals.get(hex)
      if (proposal === undefined) throw ceremonyError('expired', 'this proposal has expired')
      const status = await begin(proposal.spec, proposal.proposedBy)
      proposals.remove(hex)
      return status
    },
    list: statuses,
    find,
    subscribe: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    onFrame,
    onPeerConnected: (peer) => {
      for (const run of runs.values()) {
        const { stage } = run.status
        // A member that was away for a whole ceremony may still approve it: its JOIN is answered with the certificate.
        if (stage !== 'running' && stage !== 'stopped' && stage !== 'complete') continue
        if (run.spec.notAfter > nowS()) network.send(peer, { type: 'proposal', spec: encodeSpec(run.spec), nodes: [] })
        if (stage !== 'complete') run.greet(peer)
      }
    },
  }
}
