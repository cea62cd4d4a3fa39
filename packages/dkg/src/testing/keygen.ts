import { bytesToHex } from '@noble/hashes/utils.js'
import { type CeremonySpec, createConfig, type Purpose } from '../ceremony/config.ts'
import { createCeremonyEngine } from '../ceremony/engine.ts'
import { type CeremonyInput, PROTOCOL_TIMINGS, type Step } from '../ceremony/engine-types.ts'
import type { CeremonyState } from '../ceremony/state.ts'
import type { Curve } from '../primitives/curve.ts'
import { rememberVerified, type SignMessage, type VerifyMessage, verifyEd25519 } from '../primitives/ed25519.ts'
import { Secret } from '../primitives/secret.ts'
import type { ClusterId, NodePublicKey, ParticipantIndex } from '../primitives/types.ts'

/** A key generation in memory, for tests and measurements of what comes after it. Production keys are made by nodes. */

export interface KeygenMember {
  readonly index: ParticipantIndex
  readonly publicKey: NodePublicKey
  readonly sign: SignMessage
}

export interface KeygenOptions {
  readonly curve: Curve
  readonly members: readonly KeygenMember[]
  readonly t: number
  readonly clusterId: ClusterId
  /** Default "ecies/test". */
  readonly keyName?: string
  /** Default ECIES-DEC. */
  readonly purpose?: Purpose
  /** 32 bytes for each member and use: fixed ones make every byte of the run repeatable. */
  readonly seedOf: (index: ParticipantIndex, use: 'dealing' | 'receiver') => Secret
  /** Default `verifyEd25519`. Asked once for each signature that a member sees. */
  readonly verify?: VerifyMessage
}

export interface KeygenRun {
  readonly spec: CeremonySpec
  /** The first member's certificate. */
  readonly certificate: Uint8Array
  readonly shares: ReadonlyMap<ParticipantIndex, Secret>
  /** Every distinct signed message, in the order sent. */
  readonly messages: readonly Uint8Array[]
}

/** The real engine for every member and one queue, first in first out: nothing is lost and no timer fires. */
export function runKeygen(options: KeygenOptions): KeygenRun {
  const { members, clusterId } = options
  const spec: CeremonySpec = {
    kind: 'keygen',
    suite: 1,
    clusterId,
    purpose: options.purpose ?? 'ecies-dec',
    keyName: options.keyName ?? 'ecies/test',
    generation: 1,
    epoch: 0,
    attempt: 0,
    newConfig: createConfig({ clusterId, t: options.t, members }),
    notAfter: 4_000_000_000,
  }
  return new InMemoryCeremony(options, spec).run()
}

interface Party {
  readonly member: KeygenMember
  readonly engine: ReturnType<typeof createCeremonyEngine>
  state: CeremonyState
}

class InMemoryCeremony {
  readonly #options: KeygenOptions
  readonly #spec: CeremonySpec
  readonly #parties = new Map<ParticipantIndex, Party>()
  readonly #queue: { readonly to: ParticipantIndex; readonly input: CeremonyInput }[] = []
  readonly #messages = new Map<string, Uint8Array>()
  readonly #shares = new Map<ParticipantIndex, Secret>()
  #certificate: Uint8Array | undefined

  constructor(options: KeygenOptions, spec: CeremonySpec) {
    this.#options = options
    this.#spec = spec
  }

  run(): KeygenRun {
    const { curve, members, verify = verifyEd25519 } = this.#options
    for (const member of members) {
      const engine = createCeremonyEngine({ curve, sign: member.sign, verify: rememberVerified(verify, 4096) })
      const step = engine.open({ spec: this.#spec, self: member.index, timings: PROTOCOL_TIMINGS })
      const party = { member, engine, state: step.state }
      this.#parties.set(member.index, party)
      this.#perform(party, step)
    }
    // The queue grows while it is worked off.
    for (const { to, input } of this.#queue) {
      const party = this.#parties.get(to)
      if (party !== undefined) this.#perform(party, party.engine.step(party.state, input))
    }
    if (this.#certificate === undefined || this.#shares.size !== members.length)
      throw new RangeError('honest members with nothing lost end in a certificate and a share each')
    return {
      spec: this.#spec,
      certificate: this.#certificate,
      shares: this.#shares,
      messages: [...this.#messages.values()],
    }
  }

  #perform(party: Party, { state, effects }: Step<CeremonyState>): void {
    party.state = state
    const { index } = party.member
    for (const effect of effects) {
      if (effect.type === 'need-seeds') {
        const { seedOf } = this.#options
        const [dealing, receiver] = [seedOf(index, 'dealing'), seedOf(index, 'receiver')]
        this.#queue.push({ to: index, input: { type: 'seeds', view: effect.view, dealing, receiver } })
      } else if (effect.type === 'ask-status') {
        for (const { index: to } of this.#options.members)
          if (to !== index) this.#queue.push({ to, input: { type: 'status-request', from: index } })
      } else if (effect.type === 'send-status') {
        const { to, messages } = effect
        this.#queue.push({ to, input: { type: 'status', from: index, messages } })
      } else if (effect.type === 'send') {
        this.#messages.set(bytesToHex(effect.signed), effect.signed)
        for (const to of this.#parties.keys())
          if (to !== index && (effect.to === 'all' || effect.to === to))
            this.#queue.push({ to, input: { type: 'message', signed: effect.signed } })
      } else if (effect.type === 'complete') {
        this.#certificate ??= effect.certificate
        if (effect.share !== undefined)
          this.#shares.set(
            index,
            effect.share.use((bytes) => Secret.copyOf(bytes)),
          )
        this.#queue.push({ to: index, input: { type: 'stored' } })
      }
    }
  }
}
