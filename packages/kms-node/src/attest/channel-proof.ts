import { bytesKey } from '@tkms/dkg'
import type { AttestReply } from '../net/attest-frame.ts'
import type { ChannelChallenge } from '../net/attest-protocol.ts'
import type { RosterPeer } from '../net/roster.ts'
import type { Attester } from '../ports.ts'
import { reportData } from './report-data.ts'
import { type AttestationVerdict, refusedQuote } from './verdict.ts'

/** Challenges that are remembered to tell a quote of another connection from one that fits none. */
const MAX_REMEMBERED = 1024

/** What this node goes by: its certificates as they are now. */
export type CertificatesHash = () => Uint8Array

/**
 * Proves this node for one connection: report_data binds role, cluster, this node's identity key, its certificates, the verifier's
 * nonce and the connection's handshake hash. A quote is made for no connection but one that ends in this process: so nobody who passes
 * messages on between two connections can use this node's quotes, whatever identity key they hold.
 */
export function createChannelProver(node: {
  readonly attester: Attester
  readonly clusterId: Uint8Array
  /** Ed25519, 32 bytes. */
  readonly identity: Uint8Array
  readonly certificatesHash: CertificatesHash
}): (challenge: ChannelChallenge, signal: AbortSignal) => Promise<AttestReply> {
  const { attester, clusterId, identity } = node
  return async ({ nonce, binding }, signal) => {
    const certificates = node.certificatesHash()
    const data = reportData({ role: 'node', clusterId, identity, certificates, nonce, channel: binding })
    return { quote: await attester.quote(data, signal), certificatesHash: certificates }
  }
}

/** Judges a quote; where `asOfMs` is given, as it would have been judged at that time. */
export type JudgeQuote = (
  quote: Uint8Array,
  options: { readonly reportData: Uint8Array; readonly signal: AbortSignal; readonly asOfMs?: number },
) => Promise<AttestationVerdict>

export interface ChannelVerifier {
  /**
   * That the quote is over the certificates hash that stands beside it says what the peer goes by, and nothing of whether it is right:
   * whoever asks compares it with its own, and refuses nobody for it.
   * @param peer whose identity Noise has proven on the connection of the challenge
   */
  verify(
    peer: RosterPeer,
    reply: AttestReply,
    challenge: ChannelChallenge,
    options: { readonly signal: AbortSignal; readonly asOfMs?: number },
  ): Promise<AttestationVerdict>
}

/** @param judge verifies the quote itself; @param reportDataOf reads the 64 bytes out of a quote, undefined where it is none */
export function createChannelVerifier(node: {
  readonly clusterId: Uint8Array
  readonly judge: JudgeQuote
  readonly reportDataOf: (quote: Uint8Array) => Uint8Array | undefined
}): ChannelVerifier {
  const { clusterId, judge, reportDataOf } = node
  const asked = new Set<string>()
  const remember = (data: Uint8Array): void => {
    asked.add(bytesKey(data))
    const [oldest] = asked
    if (asked.size > MAX_REMEMBERED && oldest !== undefined) asked.delete(oldest)
  }
  return {
    verify: async (peer, { quote, certificatesHash: certificates }, { nonce, binding }, options) => {
      if (quote === undefined) return refusedQuote('missing', 'the peer has no quote')
      const identity = peer.publicKey
      const data = reportData({ role: 'node', clusterId, identity, certificates, nonce, channel: binding })
      const verdict = await judge(quote, { reportData: data, ...options })
      const isElsewheres = asked.has(bytesKey(reportDataOf(quote) ?? new Uint8Array(0)))
      remember(data)
      if (verdict.kind === 'refused' && verdict.reason === 'report-data' && isElsewheres)
        return refusedQuote('replayed', 'the quote was made for another connection or challenge')
      return verdict
    },
  }
}
