import {
  bytesKey,
  ceremonyId,
  dealerConfig,
  memberAt,
  type MemberSignature,
  type ParticipantIndex,
  type Secret,
  slotEntry,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import { answerLate, type CeremonyArchive, saveArchive } from './archive.ts'
import { authorizationOf, authorizeHere } from './authorize-here.ts'
import { asAbandonment } from './books.ts'
import type { CeremonyDriver } from './driver.ts'
import { mayDealImport } from './imported-keys.ts'
import { installOutcome } from './install-outcome.ts'
import { type CeremonyRun, type CeremonyRunPorts, OVERTAKEN, type RunOf } from './run-ports.ts'
import { createRunBooks } from './run-books.ts'
import { createRunDriver } from './run-driver.ts'
import { type CeremonyStatus, initialStatus, keyFields, withAwaited } from './status.ts'
import { authorizationsIn, errorFields, ordersOf, peersOf, rounded, toInput } from './run-input.ts'
import type { RoutedFrame } from './waiting-room.ts'

/** The life of one ceremony at this node: AUTH, engine, certificate or abandonment, archive. */
export function createCeremonyRun({ spec, nodes, proposedBy, begun }: RunOf, ports: CeremonyRunPorts): CeremonyRun {
  const { self, store, network, log, nameOf, slots, authorizations, abandonments } = ports
  const ceremony = ceremonyId(spec)
  const id = bytesKey(ceremony)
  const dealers = dealerConfig(spec)
  const nowS = (): number => Math.floor(ports.clock.nowMs() / 1000)
  const peers = peersOf(spec, self)
  const orders = () => ordersOf(slots.state(spec), spec, self)
  let status: CeremonyStatus = {
    ...initialStatus(spec, spec.kind === 'keygen' ? 'running' : 'authorizing', {
      nameOf,
      proposedBy,
      begun,
      abandonedBy: abandonments.of(spec).map(({ index }) => index),
    }),
    since: nowS(),
  }
  let archive: CeremonyArchive | undefined
  let driver: CeremonyDriver | undefined
  let finished: Promise<void> = Promise.resolve()
  let over = false
  /** AUTH failed on the way, a full disk for example; not where the rules of the slot forbid it. */
  let mustAuthorize = false

  const update = (change: Partial<CeremonyStatus>): void => {
    status = { ...status, ...change }
    if (spec.kind === 'import' && !mayDealImport(status.stage)) later(ports.imports.erase(spec))
    ports.publish(status)
  }
  const { broadcast, ...books } = createRunBooks(spec, peers, ports)

  /** This node was restored from a backup: what it promised since must be told to it before it signs anything. */
  const isHeldBack = (): boolean => {
    const awaited = ports.awaited(spec).map(nameOf)
    status = withAwaited(status, awaited)
    if (awaited.length > 0) ports.publish(status)
    return awaited.length > 0
  }

  /** Stops the engine and erases what it kept; what is public, and what was promised, stays. */
  const clear = async (change: Pick<CeremonyStatus, 'stage'> & Partial<CeremonyStatus>): Promise<void> => {
    over = true
    await driver?.halt()
    driver = undefined
    await store.erase('ceremony', id)
    await ports.imports.erase(spec)
    const { authorization: _done, reason: _old, ...rest } = status
    status = { ...rest, missing: [] }
    update(change)
    log.info({ ceremony: status.ceremony, stage: status.stage }, 'ceremony-over')
  }

  const finishAbandoned = async (): Promise<void> => {
    if (over || status.sharingId !== undefined) return
    over = true
    await slots.decideAgainst(spec)
    await clear({ stage: 'abandoned', phase: 'abandoned', reason: 'a quorum of its members abandoned it' })
    books.tellAbandonments()
    ports.onSlotChanged(spec)
  }

  const drive = async (current: CeremonyDriver): Promise<void> => {
    try {
      const result = await current.run()
      if (result.kind === 'halted') return
      if (result.kind === 'abandoned') return await finishAbandoned()
      await saveArchive(store, ceremony, result.archive)
      archive = result.archive
      log.info({ ceremony: status.ceremony, keyId: status.keyId, ...rounded(result.times) }, 'ceremony-complete')
      await clear({ stage: 'complete', phase: 'complete' })
      ports.onSlotChanged(spec)
    } catch (cause) {
      driver = undefined
      log.error({ ceremony: status.ceremony, ...errorFields(cause) }, 'ceremony-failed')
      update({ stage: 'failed', reason: 'this node cannot go on with the ceremony: see its log, then restart it' })
    }
  }

  const install = async (certificate: Uint8Array, share: Secret | undefined): Promise<void> => {
    const key = await installOutcome(ports, spec, certificate, share)
    status = { ...status, holdsShare: share !== undefined, ...keyFields(key) }
  }

  const open = async (stage: 'running' | 'left' | 'superseded'): Promise<void> => {
    if (driver !== undefined || over) return
    const key = await ports.imports.read(spec)
    // Nothing may come between this look and the engine: what is held here acts no more.
    if (driver !== undefined || over || ports.isHeld(spec, stage)) return key?.destroy()
    const { authorization: _done, ...rest } = status
    status = { ...rest, stage, since: nowS() }
    const current = createRunDriver(spec, ports, {
      importedKey: key,
      peers,
      install,
      update,
      status: () => status,
      onSent,
    })
    driver = current
    for (const type of orders()) current.order({ type })
    finished = drive(current).finally(() => key?.destroy())
    log.info({ ceremony: status.ceremony, keyName: spec.keyName, kind: spec.kind, stage }, 'ceremony-started')
    ports.publish(status)
    for (const { from, frame } of ports.waitingRoom.claim(ceremony)) deliver(from, frame)
  }

  const begin = async (): Promise<void> => {
    if (driver !== undefined || over || isHeldBack()) return
    if (spec.notAfter < nowS() && !(await store.list('ceremony')).includes(id)) {
      // Nothing begins here any more, but others may have begun: what they decide counts, and so does giving it up.
      return update({ stage: 'expired', reason: 'its time ran out before it began at this node' })
    }
    const degraded = slotEntry(slots.state(spec), ceremony)?.approval === 'degraded'
    status = { ...status, ...(degraded && { degraded }) }
    try {
      await slots.begin(spec, authorizations.strength(spec))
    } catch (cause) {
      if (!isKmsError(cause)) throw cause
      if (cause.code === 'slot-other-approved') return update({ reason: cause.message })
      if (cause.code !== 'slot-not-authorized') throw cause
      return update({ stage: 'authorizing', authorization: authorizationOf(ports, spec) })
    }
    ports.onSlotChanged(spec)
    await open('running')
  }

  const authorize = async (): Promise<void> => {
    if (spec.kind !== 'keygen' && memberAt(dealers, self) !== undefined) {
      mustAuthorize = true
      if (isHeldBack()) return
      try {
        // The promise to act in no lower attempt must hold before anybody can read it.
        const entry = await ports.quiesce(spec, () => authorizeHere(ports, spec))
        mustAuthorize = false
        if (entry !== undefined) broadcast({ type: 'authorization', ceremony, ...entry })
      } finally {
        ports.onSlotChanged(spec)
      }
    }
    await begin()
  }

  const authorizeAgain = async (): Promise<void> => {
    if (mustAuthorize && !over && status.stage === 'authorizing') await authorize()
  }

  /** In the background: a frame has nobody to tell, the log has. */
  const later = (work: Promise<unknown>): void => {
    work.catch((cause: unknown) =>
      log.error({ ceremony: status.ceremony, ...errorFields(cause) }, 'ceremony-step-failed'),
    )
  }

  const takeAuthorization = async (from: ParticipantIndex, entry: MemberSignature): Promise<void> => {
    if (driver !== undefined || over || !(await authorizations.add(spec, entry))) return
    ports.onAuthorization(spec, entry)
    log.info({ ceremony: status.ceremony, from, signer: entry.index }, 'ceremony-authorization')
    update({ authorization: authorizationOf(ports, spec), since: nowS() })
    await begin()
  }

  /** An ABANDON counts here even where no engine runs. */
  const takeAbandonment = async (signed: Uint8Array): Promise<void> => {
    const entry = asAbandonment(spec, signed)
    if (entry === undefined || over || !(await abandonments.add(spec, entry))) return
    update({ abandonedBy: abandonments.of(spec).map(({ index }) => nameOf(index)) })
    if (abandonments.isDecided(spec)) await finishAbandoned()
  }

  const sawBegun = (from: ParticipantIndex): void => {
    const known = status.begun ?? []
    if (over || known.some(({ index }) => index === from)) return
    status = { ...status, begun: [...known, nameOf(from)] }
  }

  const onSent = (signed: Uint8Array): void => later(takeAbandonment(signed))

  const deliver = (from: ParticipantIndex, frame: RoutedFrame): void => {
    if (frame.type === 'authorization') {
      const { index, signature } = frame
      return later(takeAuthorization(from, { index, signature }))
    }
    if (frame.type === 'message' || frame.type === 'statusRequest') sawBegun(from)
    if (frame.type === 'message') later(takeAbandonment(frame.signed))
    if (frame.type === 'statusRequest') books.greet(from)
    if (driver !== undefined) driver.deliver(from, toInput(from, frame))
    else if (frame.type === 'statusRequest' && archive === undefined)
      network.send(from, { type: 'status', ceremony, messages: ports.waitingRoom.heldFrom(ceremony, from) })
    else if (over || status.stage === 'expired') answerOver(from, frame)
    else {
      ports.waitingRoom.add(from, frame)
      if (frame.type === 'certificate') later(takeCertificate(from, frame.certificate))
    }
  }

  /** It was certified while this node still waited for AUTH, which the certificate carries. */
  const takeCertificate = async (from: ParticipantIndex, certificate: Uint8Array): Promise<void> => {
    for (const entry of authorizationsIn(ports.curve, certificate)) await takeAuthorization(from, entry)
  }

  const answerOver = (from: ParticipantIndex, frame: RoutedFrame): void => {
    if (archive !== undefined) {
      const answer = answerLate(ceremony, archive, frame)
      if (answer !== undefined) network.send(from, answer)
    } else if (frame.type === 'certificate') later(ports.keys.learn(frame.certificate))
    else if (frame.type === 'message' && asAbandonment(spec, frame.signed) === undefined) books.greet(from)
  }

  return {
    ceremony,
    spec,
    nodes,
    peers,
    get status() {
      return status
    },
    get archive() {
      return archive
    },
    get isBusy() {
      return driver !== undefined
    },
    begin,
    authorize,
    abandon: async () => {
      // Durable before the engine has it: an engine that is halted meanwhile forgets what it was ordered.
      await slots.abandon(spec)
      if (over || driver !== undefined) return driver?.order({ type: 'abandon' })
      // Only members of the new committee can sign ABANDON. An old one that leaves just keeps out: no engine, so nothing of it is dealt.
      if (memberAt(spec.newConfig, self) === undefined)
        return update({ stage: 'left', reason: 'this node takes no part in it', missing: [] })
      await open('left')
    },
    restore: (kept, { key, hasShare }) => {
      over = true
      archive = kept
      update({ stage: 'complete', phase: 'complete', holdsShare: hasShare, ...keyFields(key) })
    },
    end: (stage, reason, decided) => {
      archive = decided
      over = stage === 'abandoned' || decided !== undefined
      update({ stage, reason })
    },
    supersede: async (why) => {
      if (over) return
      const reason = OVERTAKEN[why]
      if (why !== 'given-up') return await clear({ stage: 'superseded', reason })
      if (status.stage !== 'superseded') update({ stage: 'superseded', reason, missing: [] })
      else if (driver !== undefined) return
      if (driver !== undefined) for (const type of orders()) driver.order({ type })
      else if (orders().includes('abandon') || (await store.list('ceremony')).includes(id)) await open('superseded')
    },
    deliver,
    sawProposal: sawBegun,
    greet: (peer) => {
      books.greet(peer)
      driver?.deliver(peer, { type: 'peer-connected', peer })
    },
    remind: () => {
      if (driver !== undefined || over || status.stage === 'expired') return
      books.tellAuthorizations()
      broadcast({ type: 'statusRequest', ceremony })
      // What kept it from beginning, a full disk for example, may be over.
      if (mustAuthorize && status.stage === 'authorizing') later(ports.inTurn(authorizeAgain))
      else if (status.stage === 'authorizing' || status.stage === 'running') later(begin())
    },
    halt: async () => {
      await driver?.halt()
      await finished
      driver = undefined
    },
  }
}
