import { ed25519 } from '@noble/curves/ed25519.js'
import {
  type CeremonyEngine,
  type CeremonyInput,
  type CeremonyState,
  type ClusterId,
  createCeremonyEngine,
  createConfig,
  decodeNodePublicKey,
  type KeygenSpec,
  nobleCurve,
  type ParticipantIndex,
  participantIndex,
  PROTOCOL_TIMINGS,
  Secret,
  type SignMessage,
  type Step,
  verifyEd25519,
} from '@tkms/dkg'
import { fixed, fixedSecret, hex } from './fixed.ts'

const N = 5
const T = 3

export interface GoldenMember {
  readonly index: ParticipantIndex
  readonly seed: Uint8Array
  readonly publicKey: ReturnType<typeof decodeNodePublicKey>
  readonly sign: SignMessage
}

export const goldenMembers: readonly GoldenMember[] = Array.from({ length: N }, (_, at) => {
  const seed = fixed('identity', at + 1)
  return {
    index: participantIndex(at + 1),
    seed,
    publicKey: decodeNodePublicKey(ed25519.getPublicKey(seed)),
    sign: (message) => ed25519.sign(message, seed),
  }
})

const clusterId = fixed('cluster') as ClusterId

export const goldenSpec: KeygenSpec = {
  kind: 'keygen',
  suite: 1,
  clusterId,
  purpose: 'ecies-dec',
  keyName: 'ecies/golden',
  generation: 1,
  epoch: 0,
  attempt: 0,
  newConfig: createConfig({ clusterId, t: T, members: goldenMembers }),
  notAfter: 2_000_000_000,
}

/** What one ceremony leaves behind. */
export interface GoldenCeremony {
  /** Node 1's certificate. */
  readonly certificate: Uint8Array
  /** By participant index. */
  readonly shares: ReadonlyMap<ParticipantIndex, Secret>
  /** Every distinct signed message, in the order sent. */
  readonly messages: readonly Uint8Array[]
}

interface Node {
  readonly index: ParticipantIndex
  readonly engine: CeremonyEngine<CeremonyState>
  state: CeremonyState
}

/** Five engines and one queue, first in first out: nothing is lost, no timer fires, so every run has the same bytes. */
export function runGoldenCeremony(): GoldenCeremony {
  const queue: { readonly to: ParticipantIndex; readonly input: CeremonyInput }[] = []
  const messages = new Map<string, Uint8Array>()
  const shares = new Map<ParticipantIndex, Secret>()
  const certificates = new Map<ParticipantIndex, Uint8Array>()
  const nodes: Node[] = []

  const perform = (node: Node, { state, effects }: Step<CeremonyState>): void => {
    node.state = state
    const receivers = (to: 'all' | ParticipantIndex): ParticipantIndex[] =>
      to === 'all' ? goldenMembers.map(({ index }) => index).filter((index) => index !== node.index) : [to]
    for (const effect of effects) {
      if (effect.type === 'need-seeds') {
        const [dealing, receiver] = [fixedSecret('dealing', node.index), fixedSecret('receiver', node.index)]
        queue.push({ to: node.index, input: { type: 'seeds', view: effect.view, dealing, receiver } })
      } else if (effect.type === 'send') {
        messages.set(hex(effect.signed), effect.signed)
        for (const to of receivers(effect.to)) queue.push({ to, input: { type: 'message', signed: effect.signed } })
      } else if (effect.type === 'send-certificate') {
        for (const to of receivers(effect.to))
          queue.push({ to, input: { type: 'certificate', certificate: effect.certificate } })
      } else if (effect.type === 'complete') {
        certificates.set(node.index, effect.certificate)
        if (effect.share !== undefined)
          shares.set(
            node.index,
            effect.share.use((bytes) => Secret.copyOf(bytes)),
          )
        queue.push({ to: node.index, input: { type: 'stored' } })
      }
    }
  }

  for (const { index, sign } of goldenMembers) {
    const engine = createCeremonyEngine({ curve: nobleCurve, sign, verify: verifyEd25519 })
    const step = engine.open({ spec: goldenSpec, self: index, timings: PROTOCOL_TIMINGS })
    const node: Node = { index, engine, state: step.state }
    nodes.push(node)
    perform(node, step)
  }
  for (let event = queue.shift(); event !== undefined; event = queue.shift()) {
    const { to, input } = event
    const node = nodes.find(({ index }) => index === to)
    if (node !== undefined) perform(node, node.engine.step(node.state, input))
  }
  const certificate = certificates.get(participantIndex(1))
  if (certificate === undefined || shares.size !== N)
    throw new Error('the golden ceremony did not complete at every node')
  return { certificate, shares, messages: [...messages.values()] }
}
