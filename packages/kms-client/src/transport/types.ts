import type { Answer, Authorization, ClusterNode, RefusalCode } from '@tkms/dkg'

/** What a node said, decoded but not yet verified. */
export type TransportReply =
  | { readonly kind: 'answer'; readonly answer: Answer }
  | { readonly kind: 'refusal'; readonly code: RefusalCode; readonly skewSeconds?: number }

/** Why a transport has no reply. */
export type TransportErrorCode = 'unreachable' | 'bad-reply'

/** What one call may cost, and what goes along with it. */
export interface TransportCall {
  readonly signal: AbortSignal
  /** The reply is refused beyond it, before it is kept. */
  readonly maxReplyBytes: number
  /** A bearer token (`isBearerToken`). */
  readonly token?: string
}

/**
 * Carries one signed request to one node. It is not trusted: every reply is verified afterwards (protocol 10.1).
 * Implementations: `http()` (everywhere), `pinnedHttp()` and `libp2p()` (Node).
 */
export interface Transport {
  /**
   * @throws KmsError `unreachable` or `bad-reply`; the signal's reason once it fires
   */
  ask(node: ClusterNode, authorization: Authorization, options: TransportCall): Promise<TransportReply>
  /** Ends all connections. Calls under way fail as `unreachable`. Idempotent. */
  close(): Promise<void>
}
