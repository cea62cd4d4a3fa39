import { attempt, equalBytes } from '../primitives/codec.ts'
import type { Secret } from '../primitives/secret.ts'
import { commitsFor, holdingVotes, readProposal } from './agreement.ts'
import { decodeCertificate, encodeCertificate } from './certificate.ts'
import { type VerifiedKey, verifyCertificate } from './verify-certificate.ts'
import { configHash } from './config.ts'
import { openDealtShare } from './dealing.ts'
import { findDeal, want } from './inbox.ts'
import { decodeDeal } from './messages.ts'
import { sumShares } from './qualify.ts'
import { destroyDealing, destroyReceiver, type ReceiverSecrets } from './seeds.ts'
import type { Phase } from './state.ts'
import type { Turn } from './turn.ts'

/** CERT2: Q COMMITs for the outcome this node committed to (protocol R5). */
export function advanceCompletion(turn: Turn): void {
  const { phase } = turn.state
  if (phase.name === 'fetching') return fetchShare(turn)
  if (phase.name !== 'committing') return
  const commits = commitsFor(turn, phase.outcome)
  const proposal = readProposal(turn, phase.session)
  if (proposal === undefined || commits.length < turn.quorum) return
  const { view, params } = turn.state
  accept(
    turn,
    encodeCertificate({
      spec: params.spec,
      outcome: proposal.outcome,
      authorizations: [],
      votes: holdingVotes(turn, phase.outcome),
      view,
      laterVotes: [],
      commits,
    }),
  )
}

/** A certificate from anybody: verified as a client would, valid for ever, in whatever phase this node is. */
export function accept(turn: Turn, bytes: Uint8Array): void {
  const { state, ports, config } = turn
  const { phase } = state
  if (phase.name === 'complete' || phase.name === 'archived' || phase.name === 'fetching') return
  const pin = { configHash: configHash(config) }
  const key = attempt(() => verifyCertificate(ports.curve, ports.verify, bytes, pin))
  if (key === undefined || !equalBytes(key.ceremony, state.ceremony)) return
  turn.mustPersist = true
  if (phase.name === 'joining') destroyDealing(phase.dealing)
  const prepared = 'prepared' in phase ? phase.prepared : undefined
  const receiver = 'receiver' in phase ? phase.receiver : undefined
  if (prepared !== undefined && equalBytes(prepared.outcome, key.sharingId)) {
    if (receiver !== undefined) destroyReceiver(receiver)
    return complete(turn, key, prepared.share)
  }
  const { outcome } = decodeCertificate(ports.curve, bytes)
  prepared?.share.destroy()
  // Nothing of this session was dealt to this node: there is no share to fetch.
  const unaddressed =
    'session' in phase && equalBytes(phase.session.sid, outcome.sid) && !phase.session.receivers.has(turn.self)
  if (receiver !== undefined && unaddressed) destroyReceiver(receiver)
  if (receiver === undefined || unaddressed) return complete(turn, key)
  state.phase = { name: 'fetching', receiver, key, outcome }
  const voters = decodeCertificate(ports.curve, bytes).votes.map(({ index }) => index)
  for (const { dealer, dealHash } of outcome.dealings) want(turn, dealer, dealHash, [...voters, dealer])
  fetchShare(turn)
}

/** A receiver without its share pulls the dealings of QUAL and decrypts with its ek (protocol R5). */
function fetchShare(turn: Turn): void {
  const { state } = turn
  if (state.phase.name !== 'fetching') return
  const { receiver, key, outcome } = state.phase
  const here = outcome.dealings.every(({ dealer, dealHash }) => findDeal(state.inbox, dealer, dealHash) !== undefined)
  if (!here) return
  const share = openFetched(turn, state.phase, receiver)
  destroyReceiver(receiver)
  complete(turn, key, share)
}

/** Undefined when the JOINSET was without this node, or a dealing is bad for it: then it must be repaired. */
function openFetched(
  turn: Turn,
  phase: Extract<Phase, { name: 'fetching' }>,
  receiver: ReceiverSecrets,
): Secret | undefined {
  const { ports, config, state, self } = turn
  const { curve } = ports
  const receiverKey = curve.mulBaseSecret(receiver.key)
  const { sid, dealings } = phase.outcome
  const shares = dealings.flatMap(({ dealer, dealHash }) => {
    const message = findDeal(state.inbox, dealer, dealHash)
    const deal = message && attempt(() => decodeDeal(curve, config, message.payload))
    if (deal === undefined) return []
    const shared = curve.mulSecret(deal.ephemeral, receiver.key)
    return openDealtShare(curve, deal, { sid, dealer, receiver: self, receiverKey, shared }) ?? []
  })
  const share = shares.length === dealings.length ? sumShares(turn, phase.outcome, shares) : undefined
  for (const part of shares) part.destroy()
  return share
}

function complete(turn: Turn, key: VerifiedKey, share?: Secret): void {
  const { state } = turn
  wipeVerdicts(turn)
  turn.stopTimers()
  state.wanted.clear()
  state.phase = share === undefined ? { name: 'complete', key } : { name: 'complete', key, share }
  turn.mustPersist = true
  turn.emit({ type: 'complete', certificate: key.certificate, ...(share && { share }) })
  // Members whose COMMIT is here have what it takes to assemble it; the others are told.
  for (const { index } of turn.config.members)
    if (index !== turn.self && !state.inbox.commits.has(index))
      turn.emit({ type: 'send-certificate', to: index, certificate: key.certificate })
}

function wipeVerdicts(turn: Turn): void {
  for (const verdict of turn.state.verdicts.values()) if (verdict.kind === 'good') verdict.share?.destroy()
  turn.state.verdicts.clear()
}

/** The share is durable in the key store: what remains of the ceremony is public (protocol R5, erasure after CERT2). */
export function archive(turn: Turn): void {
  const { state, ports } = turn
  if (state.phase.name !== 'complete') return
  const { key, share } = state.phase
  share?.destroy()
  state.phase = { name: 'archived', key }
  const { outcome } = decodeCertificate(ports.curve, key.certificate)
  const dealings = outcome.dealings.flatMap(({ dealer, dealHash }) => {
    const message = findDeal(state.inbox, dealer, dealHash)
    return message === undefined ? [] : [{ dealer, dealHash, signed: message.bytes }]
  })
  turn.emit({ type: 'archive', certificate: key.certificate, dealings })
}
