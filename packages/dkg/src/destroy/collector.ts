import { dkgError } from '../errors.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { encodeDestroyMessage, orderOf } from './messages.ts'
import { DestroyTurn } from './turn.ts'
import type { DestroyCollector, DestroyCollectorState, DestroyParams, DestroyPhase, DestroyPorts } from './types.ts'

export function createDestroyCollector(ports: DestroyPorts): DestroyCollector {
  return {
    open: (params) => {
      if (!params.sharings.includes(params.current))
        throw dkgError('bad-parameters', 'the current sharing is one of the sharings of the key')
      return new DestroyTurn(ports, createState(params)).finish()
    },
    step: (state, input) => {
      const turn = new DestroyTurn(ports, copyState(state))
      turn.take(input)
      return turn.finish()
    },
    resume: (params, snapshot) => {
      const turn = new DestroyTurn(ports, createState(params))
      turn.restore(snapshot)
      return turn.finish()
    },
  }
}

const createState = (params: DestroyParams): DestroyCollectorState => ({
  params,
  phase: 'collecting',
  signatures: new Map(),
  receipts: new Map(),
  erased: new Map(),
  claims: new Map(),
  answers: new Map(),
  retransmits: 0,
  progress: '',
})

const copyState = (state: DestroyCollectorState): DestroyCollectorState => ({
  ...state,
  signatures: new Map(state.signatures),
  receipts: new Map(state.receipts),
  erased: new Map(state.erased),
  claims: new Map(state.claims),
  answers: new Map(state.answers),
})

/** The `destroy` message with this member's signature on an order that is not complete; undefined where it has not signed. */
export function signatureOn(
  { params, phase, signatures }: DestroyCollectorState,
  member: ParticipantIndex,
): Uint8Array | undefined {
  const signature = signatures.get(member)
  if (signature === undefined || phase !== 'collecting') return undefined
  return encodeDestroyMessage({ kind: 'signature', order: orderOf(params.current), signature })
}

/** How far an order is: its phase, and how many have signed it. */
export const orderProgress = ({
  phase,
  signatures,
}: DestroyCollectorState): { readonly phase: DestroyPhase; readonly signatures: number } => ({
  phase,
  signatures: signatures.size,
})
