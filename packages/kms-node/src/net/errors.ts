import { KmsError, type KmsErrorOptions } from '@tkms/dkg'

/**
 * Why a stream or a connection ended. `stream-closed` and `stream-timeout` may pass by themselves,
 * `bad-frame`, `not-in-roster` and `not-attested` are the other side's doing.
 */
export type NetErrorCode =
  | 'stream-closed'
  | 'stream-timeout'
  | 'bad-frame'
  | 'not-in-roster'
  | 'not-attested'
  | 'no-channel-binding'
  | 'bad-multiaddr'
  | 'roster-conflict'
  | 'libp2p-listen'
  | 'stopping'

/** An error of the network layer; its text is for our own log and never crosses the wire. */
export function netError(code: NetErrorCode, message: string, options?: KmsErrorOptions): KmsError<NetErrorCode> {
  return new KmsError(code, message, options)
}
