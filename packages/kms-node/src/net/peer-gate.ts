import type { Connection } from '@libp2p/interface'

/**
 * Whether a connection to a peer of the roster may carry anything. It is asked with the very connection that is then used: what was
 * verified on one connection says nothing about another.
 */
export interface PeerGate {
  /**
   * Resolves once what runs at the other end of this connection is proven; asks for the proof, where that is not under way.
   * @throws KmsError `not-attested`; the signal's reason
   */
  admitted(connection: Connection, signal: AbortSignal): Promise<void>
  /** The same for now, without waiting. */
  isAdmitted(connection: Connection): boolean
}

/** Asks nobody for anything. */
export const OPEN_GATE: PeerGate = { admitted: () => Promise.resolve(), isAdmitted: () => true }
