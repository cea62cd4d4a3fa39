import type { CeremonyEffect, CeremonyInput, ParticipantIndex } from '@tkms/dkg'

/** What an effect is to the node that gets it. */
export function inputOf(sender: number, effect: CeremonyEffect): CeremonyInput | undefined {
  const from = sender as ParticipantIndex
  switch (effect.type) {
    case 'send':
      return { type: 'message', signed: effect.signed }
    case 'send-certificate':
      return { type: 'certificate', certificate: effect.certificate }
    case 'fetch':
      return { type: 'fetch', from, sid: effect.sid, dealer: effect.dealer, dealHash: effect.dealHash }
    case 'ask-status':
      return { type: 'status-request', from }
    case 'send-status': {
      const { messages, cert1 } = effect
      return { type: 'status', from, messages, ...(cert1 && { cert1 }) }
    }
    case 'abandon-refused':
    case 'abandoned':
    case 'archive':
    case 'complete':
    case 'fault':
    case 'need-seeds':
    case 'persist':
    case 'progress':
    case 'rolled-back':
    case 'start-timer':
    case 'stop-timer':
    case 'view-failed':
      return undefined
  }
}
