import { type Curve, equalBytes, type NodePublicKey, type ParticipantIndex } from '@tkms/dkg'
import type { CeremonyListener, CeremonyNetwork } from '../net/ceremony-protocol.ts'
import type { Clock } from '../ports.ts'
import { createKeySync } from './key-sync.ts'
import type { Keys, KeysLog } from './open-keys.ts'
import { createStartupCheck } from './startup-check.ts'

/** What was lost on the way is said again this often. */
const REMIND_MS = 60_000

export interface ConnectKeysParams {
  readonly curve: Curve
  readonly keys: Keys
  /** This node's identity. */
  readonly self: NodePublicKey
  readonly network: Pick<CeremonyNetwork, 'send' | 'broadcast'>
  /** Who hears everything else, and certificates as well. */
  readonly ceremonies: CeremonyListener
  readonly clock: Clock
  /** How long silent peers keep this node from serving at its start. */
  readonly startupWaitMs: number
  readonly log: KeysLog
  /** Every later sharing that this peer claimed to know was looked into. */
  readonly onSynced?: (peer: ParticipantIndex) => void
}

/** The keys of a node on its network. */
export interface ConnectedKeys {
  /** For the network. */
  readonly listener: CeremonyListener
  /** Serves when the other members were asked for later sharings, or did not answer in time. Call when the network was started. */
  open(): Promise<void>
  /** Ends the waiting and the reminders. */
  stop(): void
}

export function connectKeys(params: ConnectKeysParams): ConnectedKeys {
  const { keys, network, ceremonies, log } = params
  const { keeper, notices } = keys
  const check = createStartupCheck(coholders(params), params.startupWaitMs)
  const sync = createKeySync({
    curve: params.curve,
    keeper,
    notices,
    send: (to, frame) => void network.send(to, frame),
    broadcast: (frame) => network.broadcast(frame),
    clock: params.clock,
    onAnswered: (peer) => {
      check.answered(peer)
      params.onSynced?.(peer)
    },
    log,
  })
  keys.subscribe({
    onChanged: () => sync.announce(),
    onErased: ({ keyId }) => sync.announceErased(keyId),
  })
  const reminder = setInterval(() => sync.remind(), REMIND_MS).unref()
  return {
    listener: {
      onFrame: (from, frame) => {
        sync.onFrame(from, frame)
        ceremonies.onFrame(from, frame)
      },
      onPeerConnected: (peer) => {
        sync.onPeerConnected(peer)
        ceremonies.onPeerConnected(peer)
      },
    },
    open: async () => {
      const silent = await check.done
      if (silent.length > 0)
        log.warn(
          {
            silent,
            problem: 'these members did not say whether they know later sharings; they are heard when they come',
          },
          'start-up-unchecked',
        )
      keeper.open()
      log.info({ keys: keeper.list().length }, 'keys-open')
    },
    stop: () => {
      clearInterval(reminder)
      check.stop()
    },
  }
}

/** The other members of every committee in which this node holds the latest share. */
function coholders({ keys, self }: ConnectKeysParams): readonly ParticipantIndex[] {
  const members = keys.keeper
    .list()
    .flatMap(({ sharings }) => sharings.slice(0, 1))
    .filter(({ sharing }) => sharing.hasShare)
    .flatMap(({ sharing }) => sharing.key.config.members)
    .filter(({ publicKey }) => !equalBytes(publicKey, self))
  return [...new Set(members.map(({ index }) => index))]
}
