import { ed25519 } from '@noble/curves/ed25519.js'
import {
  type CeremonyEffect,
  type CeremonyInput,
  type CeremonyParams,
  type CeremonySpec,
  type CeremonyState,
  type ClusterId,
  createCeremonyEngine,
  createConfig,
  type Curve,
  decodeNodePublicKey,
  type NodePublicKey,
  type ParticipantIndex,
  participantIndex,
  PROTOCOL_TIMINGS,
  Secret,
  type SignMessage,
  verifyEd25519,
} from '@tkms/dkg'

/** A node's identity and its share of one key. */
export interface TestNode {
  readonly index: ParticipantIndex
  readonly publicKey: NodePublicKey
  /** Ed25519 seed, 32 bytes. */
  readonly seed: Uint8Array
  readonly sign: SignMessage
  readonly share: Secret
}

export interface TestKey {
  readonly spec: CeremonySpec
  readonly certificate: Uint8Array
  readonly nodes: readonly TestNode[]
}

const randomBytes = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length))

interface Member extends Omit<TestNode, 'share'> {
  readonly inbox: CeremonyInput[]
  state?: CeremonyState
  share?: Secret
  certificate?: Uint8Array
}

/** A real key generation among honest nodes, with messages delivered at once and in order: real signatures, real certificate. */
export function generateTestKey(
  curve: Curve,
  options: { readonly n: number; readonly t: number; readonly keyName: string },
): TestKey {
  const members = Array.from({ length: options.n }, (_, at): Member => {
    const seed = randomBytes(32)
    const publicKey = decodeNodePublicKey(ed25519.getPublicKey(seed))
    return {
      index: participantIndex(at + 1),
      publicKey,
      seed,
      sign: (message) => ed25519.sign(message, seed),
      inbox: [],
    }
  })
  const clusterId = randomBytes(32) as ClusterId
  const spec: CeremonySpec = {
    kind: 'keygen',
    suite: 1,
    clusterId,
    purpose: 'ecies-dec',
    keyName: options.keyName,
    generation: 1,
    epoch: 0,
    attempt: 0,
    newConfig: createConfig({ clusterId, t: options.t, members }),
    notAfter: 4_000_000_000,
  }
  runCeremony(curve, spec, members)
  const nodes = members.map(({ index, publicKey, seed, sign, share }) => ({
    index,
    publicKey,
    seed,
    sign,
    share: present(share),
  }))
  return { spec, certificate: present(members[0]?.certificate), nodes }
}

function runCeremony(curve: Curve, spec: CeremonySpec, members: readonly Member[]): void {
  const engines = members.map((member) => createCeremonyEngine({ curve, sign: member.sign, verify: verifyEd25519 }))
  const paramsOf = (member: Member): CeremonyParams => ({ spec, self: member.index, timings: PROTOCOL_TIMINGS })
  members.forEach((member, at) => {
    const { state, effects } = present(engines[at]).open(paramsOf(member))
    member.state = state
    for (const effect of effects) perform(members, member, effect)
  })
  for (let moved = true; moved; ) {
    moved = false
    members.forEach((member, at) => {
      const input = member.inbox.shift()
      if (input === undefined) return
      moved = true
      const { state, effects } = present(engines[at]).step(present(member.state), input)
      member.state = state
      for (const effect of effects) perform(members, member, effect)
    })
  }
}

function perform(members: readonly Member[], self: Member, effect: CeremonyEffect): void {
  if (effect.type === 'need-seeds')
    self.inbox.push({
      type: 'seeds',
      view: effect.view,
      dealing: new Secret(randomBytes(32)),
      receiver: new Secret(randomBytes(32)),
    })
  if (effect.type === 'send')
    for (const member of members)
      if (effect.to === member.index || (effect.to === 'all' && member !== self))
        member.inbox.push({ type: 'message', signed: effect.signed })
  if (effect.type === 'complete') {
    self.certificate = effect.certificate
    if (effect.share !== undefined) self.share = effect.share.use((bytes) => Secret.copyOf(bytes))
    self.inbox.push({ type: 'stored' })
  }
}

/** The value, where a test is wrong without it. */
export function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the test set-up is incomplete')
  return value
}
