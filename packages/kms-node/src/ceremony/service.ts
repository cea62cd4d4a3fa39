import {
  bytesKey,
  type CeremonySpec,
  type Cluster,
  ceremonyId,
  encodeSpec,
  type ParticipantIndex,
  type Secret,
  slotEntry,
  type SlotState,
} from '@tkms/dkg'
import type { NamedCommittee } from '../cluster/address-book.ts'
import type { CeremonyFrame, PromisedSpec } from '../net/ceremony-frame.ts'
import type { CeremonyListener } from '../net/ceremony-protocol.ts'
import { maxFrameBytes } from '../net/frame-caps.ts'
import { adviserHere } from './advice-here.ts'
import { checkSpec } from './check-spec.ts'
import { committeeDetails } from './committee-details.ts'
import { ceremonyError } from './errors.ts'
import { explainRival } from './explain-rival.ts'
import { createIntake } from './intake.ts'
import { makeSpec } from './make-spec.ts'
import type { AddressBook } from './ports.ts'
import { createProposals, type PendingProposal } from './proposals.ts'
import type { ApproveInput, ProposeInput } from './propose-input.ts'
import { createCeremonyRegistry, type RegistryParams } from './registry.ts'
import { requireSettled } from './require-settled.ts'
import type { CeremonyRun, RunOf } from './run-ports.ts'
import { type CeremonyStatus, initialStatus, isFinal, type NamedMember } from './status.ts'
import { createWaitingRoom } from './waiting-room.ts'

export interface CeremonyServiceParams
  extends Omit<RegistryParams, 'waitingRoom' | 'nameOf' | 'publish' | 'onCommittees'> {
  /** Its config is the committee that the cluster was made with. */
  readonly cluster: Cluster
  readonly addressBook: AddressBook
  /** For advice. */
  readonly dataDir: string
  /** The committees of undecided ceremonies, or the keys, changed: other nodes may have to be connected. */
  readonly onCommittees?: () => void
}

/** All ceremonies of one node: proposals, approvals, AUTH, running engines, and answers to late members. */
export interface CeremonyService extends CeremonyListener {
  /** Resumes every undecided ceremony; call before the network starts. */
  start(): Promise<void>
  /** Ends the engines; they resume at the next start. */
  stop(): Promise<void>
  /** Proposes X to its committees and approves it here. @throws KmsError `key-exists`, `unknown-key`, `slot-...`, `bad-config` */
  propose(input: ProposeInput): Promise<CeremonyStatus>
  /** @param id 64 hex digits, `0x` optional, or a unique beginning of at least 8. @throws KmsError `lowers-threshold`, `slot-...`, `expired` */
  approve(id: string, input?: ApproveInput): Promise<CeremonyStatus>
  /** Gives a ceremony up, approved here or only proposed. @throws KmsError `unknown-ceremony`, `abandon-refused` */
  abandon(id: string): Promise<CeremonyStatus>
  list(): readonly CeremonyStatus[]
  /** @throws KmsError `unknown-ceremony` */
  find(id: string): CeremonyStatus
  /** Both committees of every undecided ceremony approved here. */
  openCommittees(): readonly NamedCommittee[]
  /** The ceremony approved here that may still give this key another sharing, as `0x` id: then its destruction is not signed (protocol 8). */
  undecidedOf(keyId: Uint8Array): string | undefined
  /** A key was destroyed: what its ceremonies prepared is erased when it resolves (protocol 8, DESTROY). */
  forgetKey(keyId: Uint8Array): Promise<void>
  /** The keys that this node knows have changed by another way than a ceremony here. */
  onKeysChanged(): void
  /** What this node knows that a member promised, or may have, and forgot when a backup of it was restored. */
  promisesOf(asker: ParticipantIndex): readonly PromisedSpec[]
  /** Looks again at every ceremony that waits. */
  remind(): void
  /** Called on every change of any ceremony, until the returned function is called. */
  subscribe(listener: (status: CeremonyStatus) => void): () => void
}

export function createCeremonyService(params: CeremonyServiceParams): CeremonyService {
  const { cluster, self, network, clock, log, keys, slots, addressBook } = params
  const nowS = (): number => Math.floor(clock.nowMs() / 1000)
  let stopped = false
  let reminder: NodeJS.Timeout | undefined
  const listeners = new Set<(status: CeremonyStatus) => void>()

  const undecided = (): readonly CeremonySpec[] => registry.undecidedNew()
  const check = (spec: CeremonySpec, nodes: PendingProposal['nodes']): void =>
    checkSpec({ cluster, self, nodes: addressBook.nodes(), keys, undecided, nowS: nowS() }, spec, nodes)
  const proposals = createProposals({ check, nowS })
  const nameOf = (index: number): NamedMember => {
    const known = [...addressBook.nodes(), ...proposals.list().flatMap(({ nodes }) => nodes)]
    return { index, name: known.find((node) => node.index === index)?.name ?? `node ${index}` }
  }
  const advised = adviserHere({ self, nowS, network, keys, dataDir: params.dataDir })
  const publish = (status: CeremonyStatus): void => {
    for (const listener of listeners) listener(advised(status))
  }
  const waitingRoom = createWaitingRoom(2 * maxFrameBytes(addressBook.nodes().length))
  const registry = createCeremonyRegistry({
    ...params,
    waitingRoom,
    nameOf,
    publish,
    onCommittees: () => params.onCommittees?.(),
  })
  const statusOfProposal = ({ spec, proposedBy, holders }: PendingProposal): CeremonyStatus => {
    const words = { begun: [...holders], abandonedBy: registry.abandonersOf(spec) }
    return initialStatus(spec, 'proposed', { nameOf, proposedBy: nameOf(proposedBy), ...words })
  }
  const toRun = ({ spec, nodes, proposedBy, holders }: PendingProposal): RunOf => ({
    spec,
    nodes,
    proposedBy: nameOf(proposedBy),
    begun: [...holders],
  })
  const onKeysChanged = (): void => {
    registry.settle()
    intake.retryDeferred()
  }
  const intake = createIntake({
    registry,
    proposals,
    waitingRoom,
    network,
    keys,
    log,
    onProposed: (proposal) => {
      const status = statusOfProposal(proposal)
      const { ceremony, keyName, kind } = status
      log.info({ ceremony, keyName, kind, proposedBy: proposal.proposedBy }, 'ceremony-proposed')
      publish(status)
    },
    onLearned: onKeysChanged,
  })

  const requireLive = (): void => {
    if (stopped) throw ceremonyError('stopping', 'the node is stopping', { retryable: true })
  }

  const begin = (of: RunOf, input: ApproveInput, importedKey?: Secret): Promise<CeremonyStatus> =>
    registry.inTurn(async () => {
      requireLive()
      // Nothing may come between the two: an order to destroy the key is signed only where nothing of it is reserved.
      if (of.spec.kind === 'reshare' && keys.isClosed?.(of.spec.keyId) === true)
        throw ceremonyError('key-closed', 'this node signed the order to destroy this key: it reshares it no more')
      const release = registry.reserve(of.spec)
      try {
        return await beginReserved(of, input, importedKey)
      } finally {
        release()
      }
    })

  const beginReserved = async (of: RunOf, input: ApproveInput, importedKey?: Secret): Promise<CeremonyStatus> => {
    const known = registry.get(bytesKey(ceremonyId(of.spec)))
    if (known === undefined) registry.requireRoom()
    requireSettled(params, of.spec)
    if (importedKey !== undefined) await registry.imports.keep(of.spec, importedKey)
    await approveInSlot(of.spec, input, importedKey !== undefined)
    await addressBook.add(of.nodes)
    const run = known ?? registry.open(of)
    params.onCommittees?.()
    await run.authorize()
    for (const { from, frame } of waitingRoom.peek(run.ceremony))
      if (frame.type === 'authorization') run.deliver(from, frame)
    return advised(run.status)
  }

  /** @param keepsImport the call that approves it has just stored the key to import; that of an earlier one may still be needed */
  const approveInSlot = async (spec: CeremonySpec, { degraded }: ApproveInput, keepsImport: boolean): Promise<void> => {
    try {
      await slots.approve(spec, degraded === true ? 'degraded' : 'plain')
    } catch (cause) {
      if (keepsImport) await registry.imports.erase(spec)
      throw explainRival(cause, registry)
    }
  }

  /** An approval that failed half-way has its run already. */
  const unapproved = (): readonly PendingProposal[] =>
    proposals.list().filter(({ spec }) => registry.get(bytesKey(ceremonyId(spec))) === undefined)

  const statuses = (): readonly CeremonyStatus[] =>
    [...registry.list().map((run) => run.status), ...unapproved().map(statusOfProposal)].map(advised)

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
    const of = registry.get(match.ceremony.slice(2)) ?? proposals.get(match.ceremony.slice(2))
    return of ? { ...match, committee: committeeDetails(of.spec, [...addressBook.nodes(), ...of.nodes]) } : match
  }

  /** The addresses of everybody in it: a new member may know nobody yet. */
  const proposalOf = ({ spec }: CeremonyRun): CeremonyFrame => {
    const { members } = spec.newConfig
    const nodes = addressBook.nodes().filter(({ index }) => members.some((member) => member.index === index))
    return { type: 'proposal', spec: encodeSpec(spec), nodes }
  }
  const isOpen = (run: CeremonyRun): boolean => !isFinal(run.status) && run.spec.notAfter >= nowS()

  const propose = async (input: ProposeInput): Promise<CeremonyStatus> => {
    const specs = (): readonly CeremonySpec[] => [...registry.list(), ...proposals.list()].map(({ spec }) => spec)
    const slot = (spec: CeremonySpec): SlotState => slots.state(spec)
    const known = { cluster, self, nodes: addressBook.nodes(), keys, undecided, slot, specs }
    const context = { ...known, curve: params.curve, nowS: nowS() }
    const made = makeSpec(context, input)
    check(made.spec, made.nodes)
    const importedKey = input.kind === 'import' ? input.key : undefined
    const approval = input.kind === 'reshare' && input.degraded !== undefined ? { degraded: input.degraded } : {}
    try {
      return await begin({ ...made, proposedBy: nameOf(self) }, approval, importedKey)
    } finally {
      const run = registry.get(bytesKey(ceremonyId(made.spec)))
      if (run !== undefined) for (const peer of run.peers) network.send(peer, proposalOf(run))
    }
  }

  const remind = (): void => {
    for (const run of registry.list()) {
      run.remind()
      if (!isFinal(run.status)) publish(run.status)
    }
  }

  return {
    start: async () => {
      await registry.resume()
      reminder = setInterval(remind, params.timings.retransmitMaxMs).unref()
    },
    stop: () =>
      registry.inTurn(async () => {
        stopped = true
        clearInterval(reminder)
        await registry.stop()
      }),
    propose,
    approve: async (id, input = {}) => {
      const { ceremony, lowersThreshold, old, t } = find(id)
      const hex = ceremony.slice(2)
      const run = registry.get(hex)
      const of = run ?? proposals.get(hex)
      if (of === undefined) throw ceremonyError('expired', 'this proposal has expired')
      if (lowersThreshold && input.lowerThreshold !== true && run === undefined)
        throw ceremonyError(
          'lowers-threshold',
          `${t} nodes instead of ${old?.t ?? t} would be enough to decrypt, and to steal the key: confirm with --lower-threshold`,
        )
      if (run !== undefined && (input.degraded !== true || isFinal(run.status))) return advised(run.status)
      const status = await begin('holders' in of ? toRun(of) : { spec: of.spec, nodes: of.nodes }, input)
      proposals.remove(hex)
      return status
    },
    abandon: (id) =>
      registry.inTurn(async () => {
        requireLive()
        const { ceremony } = find(id)
        const hex = ceremony.slice(2)
        const proposal = proposals.get(hex)
        const known = registry.get(hex)
        if (known !== undefined && isFinal(known.status) && !registry.isUndecided(known.spec))
          throw ceremonyError('abandon-refused', `it is ${known.status.stage}: nothing is left to give up`)
        const run = known ?? (proposal && registry.open(toRun(proposal)))
        if (run === undefined) throw ceremonyError('expired', 'this proposal has expired')
        await run.abandon()
        proposals.remove(hex)
        return advised(run.status)
      }),
    list: statuses,
    find,
    openCommittees: () => registry.openCommittees(),
    undecidedOf: (keyId) => {
      const spec = registry.undecidedOf(keyId)
      return spec && `0x${bytesKey(ceremonyId(spec))}`
    },
    forgetKey: (keyId) => registry.forgetKey(keyId),
    onKeysChanged,
    promisesOf: (asker) => registry.promisesOf(asker, proposals.list()),
    remind,
    subscribe: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    onFrame: (from, frame) => intake.onFrame(from, frame),
    onPeerConnected: (peer) => {
      for (const run of registry.list()) {
        if (!run.peers.includes(peer)) continue
        const entry = slotEntry(slots.state(run.spec), run.ceremony)
        // A member that was away for a whole key generation may still approve it: its JOIN is answered with the certificate.
        const late = run.status.stage === 'complete' && run.spec.epoch === 0 && run.spec.notAfter >= nowS()
        if (entry?.approval !== 'none' && (isOpen(run) || late)) network.send(peer, proposalOf(run))
        if (!isFinal(run.status) || run.status.stage === 'abandoned') run.greet(peer)
      }
    },
  }
}
