import { concatBytes } from '@noble/hashes/utils.js'
import {
  equalBytes,
  KmsError,
  type NodePublicKey,
  type ParticipantIndex,
  type SignMessage,
  signTagged,
  u64,
  type VerifyMessage,
  verifyTagged,
} from '@tkms/dkg'
import { type AliveProof, INSTANCE_BYTES, NONCE_BYTES } from '../net/alive-frame.ts'
import type { Clock, Rng } from '../ports.ts'

const TAG = 'alive'
/** Two processes that started within this time of each other both give way: neither can know which was first. */
const SAME_START_MS = 5_000

/**
 * One process under a node's identity (row 32). Two copies of a node would vote twice and count as one: the one that started later gives way.
 * What a copy signs, over a nonce that this process drew, nobody but a holder of the identity key can make up.
 */
export interface Instance {
  /** sig("alive", instance(16) || u64 upMs || nonce(32)): the answer to a challenge. */
  prove(nonce: Uint8Array): AliveProof
  /** 32 fresh bytes. */
  nonce(): Uint8Array
  /** Whether these answers to `nonce` show another process that was there before this one, or began with it. */
  mustGiveWay(nonce: Uint8Array, proofs: readonly AliveProof[]): boolean
}

export function createInstance(ports: {
  readonly sign: SignMessage
  readonly verify: VerifyMessage
  /** This node's identity. */
  readonly self: NodePublicKey
  readonly clock: Clock
  readonly rng: Rng
}): Instance {
  const { sign, verify, self, clock, rng } = ports
  const instance = rng.bytes(INSTANCE_BYTES)
  const startMs = clock.monotonicMs()
  const upMs = (): number => Math.floor(clock.monotonicMs() - startMs)
  const signed = (proof: Omit<AliveProof, 'signature'>, nonce: Uint8Array): Uint8Array =>
    concatBytes(proof.instance, u64(proof.upMs), nonce)
  return {
    nonce: () => rng.bytes(NONCE_BYTES),
    prove: (nonce) => {
      const proof = { instance, upMs: upMs() }
      return { ...proof, signature: signTagged(sign, TAG, signed(proof, nonce)) }
    },
    mustGiveWay: (nonce, proofs) =>
      proofs.some(
        (proof) =>
          !equalBytes(proof.instance, instance) &&
          proof.upMs + SAME_START_MS >= upMs() &&
          verifyTagged(verify, self, TAG, signed(proof, nonce), proof.signature),
      ),
  }
}

/** Asks one peer, which may take its time or not be there. */
export type AskPeer = (peer: ParticipantIndex, nonce: Uint8Array, signal: AbortSignal) => Promise<readonly AliveProof[]>

/** Watches that this process stays the only one under its identity. */
export interface InstanceGuard {
  /**
   * Asks every peer before this process takes part in anything. One that cannot be reached says nothing, and is asked when it connects.
   * @throws KmsError `duplicate-identity`
   */
  atStart(peers: readonly ParticipantIndex[]): Promise<void>
  onPeerConnected(peer: ParticipantIndex): void
  /** Resolves, if ever, when a peer that connected later showed another process. */
  readonly mustStop: Promise<KmsError<'duplicate-identity'>>
}

/** @param waitMs for one peer's answer */
export function createInstanceGuard(instance: Instance, ask: AskPeer, waitMs: number): InstanceGuard {
  const { promise: mustStop, resolve } = Promise.withResolvers<KmsError<'duplicate-identity'>>()
  const askOne = async (peer: ParticipantIndex): Promise<KmsError<'duplicate-identity'> | undefined> => {
    const nonce = instance.nonce()
    const proofs = await ask(peer, nonce, AbortSignal.timeout(waitMs)).catch(() => [])
    return instance.mustGiveWay(nonce, proofs) ? duplicate(peer) : undefined
  }
  return {
    mustStop,
    atStart: async (peers) => {
      const [found] = (await Promise.all(peers.map(askOne))).filter((one) => one !== undefined)
      if (found !== undefined) throw found
    },
    onPeerConnected: (peer) => {
      void askOne(peer).then((found) => found !== undefined && resolve(found))
    },
  }
}

const duplicate = (seenBy: ParticipantIndex): KmsError<'duplicate-identity'> =>
  new KmsError(
    'duplicate-identity',
    `node ${seenBy} is also connected to another process with this node's identity, which was there first: stop that one, or give this copy of its data directory up`,
    { data: { seenBy } },
  )
