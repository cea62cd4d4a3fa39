import { selectCurve } from '@tkms/curve-native'
import {
  type CeremonyEffect,
  type CeremonyEngine,
  type CeremonyParams,
  type CeremonyState,
  createCeremonyEngine,
  decodeSpec,
  KmsError,
  participantIndex,
  rememberVerified,
  Secret,
  type Step,
  verifyEd25519,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import { createSigner } from '../identity/ed25519-signer.ts'
import { type EngineReply, type EngineRequest, fromWireInput, seize, toWireEffect, wipe } from './engine-messages.ts'

/**
 * Entry of the process that runs one ceremony and exits: its memory, with every coefficient and intermediate value, goes with it
 * (protocol 5). It speaks to its parent only, over IPC, and ends when the parent does.
 */

/** Every message of several views of the largest committee. */
const REMEMBERED_SIGNATURES = 16_384

let engine: CeremonyEngine<CeremonyState> | undefined
let state: CeremonyState | undefined

function open(request: Extract<EngineRequest, { type: 'open' }>): Step<CeremonyState> {
  const identity = seize(request.identity)
  const sign = createSigner(identity)
  identity.destroy()
  engine = createCeremonyEngine({
    curve: selectCurve().curve,
    sign,
    verify: rememberVerified(verifyEd25519, REMEMBERED_SIGNATURES),
  })
  const params: CeremonyParams = {
    spec: decodeSpec(request.spec),
    self: participantIndex(request.self),
    timings: request.timings,
    ...(request.previous && { previous: request.previous }),
    ...(request.authorizations && { authorizations: request.authorizations }),
  }
  return request.snapshot === undefined ? engine.open(params) : engine.resume(params, seize(request.snapshot))
}

function step(request: EngineRequest): Step<CeremonyState> {
  if (request.type === 'open') return open(request)
  if (engine === undefined || state === undefined) throw new KmsError('engine-not-open', 'an input came before open')
  return engine.step(state, fromWireInput(request.input))
}

function reply(message: EngineReply, then: () => void = () => {}): void {
  if (process.send === undefined) process.exit(1)
  process.send(message, then)
}

function sendEffects(effects: readonly CeremonyEffect[]): void {
  const wired = effects.map(toWireEffect)
  reply({ type: 'effects', effects: wired }, () => wired.forEach(wipe))
  for (const effect of effects) {
    if (effect.type === 'persist') effect.snapshot.destroy()
    if (effect.type === 'complete' && effect.share instanceof Secret) effect.share.destroy()
  }
}

function fail(cause: unknown): void {
  reply({ type: 'failed', code: isKmsError(cause) ? cause.code : 'unexpected' }, () => process.exit(1))
}

process.on('disconnect', () => process.exit(0))
// A signal to the whole group is for the node: it stops this process, or takes it along.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
process.on('uncaughtException', fail)
process.on('message', (request: EngineRequest) => {
  const next = step(request)
  state = next.state
  sendEffects(next.effects)
})
