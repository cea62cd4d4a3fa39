import { dkgError } from '../errors.ts'
import type { Secret } from '../primitives/secret.ts'
import { decodeCertificate } from './certificate.ts'
import { type VerifiedKey, verifyCertificate } from './verify-certificate.ts'
import { ceremonyId, configHash } from './config.ts'
import type { CeremonyParams, EnginePorts } from './engine-types.ts'
import { absorb, want } from './inbox.ts'
import type { Session } from './join.ts'
import { readSession } from './joining.ts'
import { decodeCommit } from './messages.ts'
import { decodeSnapshot, type Snapshot } from './snapshot.ts'
import { createState, type Phase } from './state.ts'
import { Turn } from './turn.ts'
import type { SharingId } from '../primitives/types.ts'

const broken = (problem: string): never => {
  throw dkgError('bad-encoding', `the snapshot ${problem}`)
}

function required<T>(value: T | undefined, field: string): T {
  return value ?? broken(`lacks its ${field}`)
}

/**
 * The state behind a snapshot. Stored bytes are taken as they are: nothing is derived again, no slot is filled again.
 * @throws KmsError `bad-encoding` when the snapshot is not whole
 */
export function resumeState(ports: EnginePorts, params: CeremonyParams, secret: Secret): Turn {
  const snapshot = decodeSnapshot(ceremonyId(params.spec), secret)
  const turn = new Turn(ports, createState(params))
  const { state } = turn
  if (snapshot.view !== state.view) broken('is of a view that this version does not know')
  for (const { slot, message } of snapshot.sent) state.sent.set(slot, message)
  for (const bytes of snapshot.inbox) absorb(turn, bytes)
  state.phase = phaseOf(turn, snapshot)
  if (state.phase.name === 'fetching') {
    const { outcome, key } = state.phase
    const voters = decodeCertificate(ports.curve, key.certificate).votes.map(({ index }) => index)
    for (const { dealer, dealHash } of outcome.dealings) want(turn, dealer, dealHash, [...voters, dealer])
  }
  return turn
}

function phaseOf(turn: Turn, snapshot: Snapshot): Phase {
  const { receiver, dealing, prepared, share } = snapshot
  const session = (): Session => required(readSession(turn), 'JOINSET')
  const key = (): VerifiedKey => {
    const pin = { configHash: configHash(turn.config) }
    return verifyCertificate(turn.ports.curve, turn.ports.verify, required(snapshot.certificate, 'certificate'), pin)
  }
  switch (snapshot.phase) {
    case 'seeding':
      return { name: 'seeding' }
    case 'joining':
      return { name: 'joining', receiver: required(receiver, 'receiver key'), dealing: required(dealing, 'dealing') }
    case 'dealing':
    case 'vouching':
      return { name: snapshot.phase, receiver: required(receiver, 'receiver key'), session: session() }
    case 'observing':
      return { name: 'observing', receiver: required(receiver, 'receiver key'), session: session() }
    case 'voting':
      return {
        name: 'voting',
        receiver: required(receiver, 'receiver key'),
        session: session(),
        prepared: required(prepared, 'share'),
      }
    case 'committing':
      return {
        name: 'committing',
        session: session(),
        outcome: decodeCommit(required(turn.state.sent.get('commit'), 'COMMIT').payload) as SharingId,
        receiver: required(receiver, 'receiver key'),
        ...(prepared && { prepared }),
      }
    case 'left':
      return { name: 'left', ...(receiver && { receiver }), ...(prepared && { prepared }) }
    case 'fetching': {
      const verified = key()
      const { outcome } = decodeCertificate(turn.ports.curve, verified.certificate)
      return { name: 'fetching', receiver: required(receiver, 'receiver key'), key: verified, outcome }
    }
    case 'complete':
      return { name: 'complete', key: key(), ...(share && { share }) }
    case 'archived':
      return { name: 'archived', key: key() }
  }
}
