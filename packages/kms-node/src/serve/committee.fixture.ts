import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto'
import {
  type CeremonyEffect,
  type CeremonySpec,
  type CeremonyState,
  type ClusterId,
  type CommitteeConfig,
  createCeremonyEngine,
  createConfig,
  decodeNodePublicKey,
  type NodePublicKey,
  participantIndex,
  PROTOCOL_TIMINGS,
  type Purpose,
  Secret,
  verifyEd25519,
} from '@tkms/dkg'
import { selectCurve } from '@tkms/curve-native'
import { NOW_SECONDS, rng } from './pipeline.fixture.ts'

const { curve } = selectCurve()

export interface TestMember {
  readonly index: number
  readonly publicKey: NodePublicKey
  readonly certificate: Uint8Array
  readonly share: Secret
}

export interface TestCommittee {
  readonly config: CommitteeConfig
  readonly members: readonly TestMember[]
}

interface Identity {
  readonly index: number
  readonly publicKey: NodePublicKey
  readonly sign: (message: Uint8Array) => Uint8Array
}

function createIdentity(index: number): Identity {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const key = createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' }))
  const raw = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(12))
  return { index, publicKey: decodeNodePublicKey(raw), sign: (message) => new Uint8Array(sign(null, message, key)) }
}

/** A key generation of three honest members, t = 2, through the real engine, every message delivered in order. */
export function generateKey(purpose: Purpose = 'ecies-dec', keyName = 'ecies/1'): TestCommittee {
  const identities = [1, 2, 3].map(createIdentity)
  const members = identities.map(({ index, publicKey }) => ({ index: participantIndex(index), publicKey }))
  const clusterId = rng.bytes(32) as ClusterId
  const config = createConfig({ clusterId, t: 2, members })
  const spec: CeremonySpec = {
    kind: 'keygen',
    suite: 1,
    clusterId,
    purpose,
    keyName,
    generation: 1,
    epoch: 0,
    attempt: 0,
    newConfig: config,
    notAfter: NOW_SECONDS,
  }
  const done = new Map<number, TestMember>()
  const queue: (() => void)[] = []
  const engines = identities.map((identity) => {
    const engine = createCeremonyEngine({ curve, sign: identity.sign, verify: verifyEd25519 })
    return { identity, engine, state: undefined as CeremonyState | undefined }
  })
  type Run = (typeof engines)[number]
  const input = (run: Run, given: Parameters<Run['engine']['step']>[1]): void => {
    queue.push(() => {
      if (run.state === undefined) throw new Error('not opened')
      const step = run.engine.step(run.state, given)
      run.state = step.state
      for (const effect of step.effects) act(run, effect)
    })
  }
  const act = (run: Run, effect: CeremonyEffect): void => {
    const { index } = run.identity
    if (effect.type === 'need-seeds') {
      const seed = (): Secret => new Secret(rng.bytes(32))
      input(run, { type: 'seeds', view: effect.view, dealing: seed(), receiver: seed() })
    }
    if (effect.type === 'send')
      for (const other of engines)
        if (other !== run && (effect.to === 'all' || effect.to === other.identity.index))
          input(other, { type: 'message', signed: effect.signed })
    if (effect.type === 'complete' && effect.share !== undefined) {
      const { certificate, share } = effect
      const copy = share.use((bytes) => Secret.copyOf(bytes))
      done.set(index, { index, publicKey: run.identity.publicKey, certificate, share: copy })
    }
  }
  for (const run of engines) {
    const step = run.engine.open({ spec, self: participantIndex(run.identity.index), timings: PROTOCOL_TIMINGS })
    run.state = step.state
    for (const effect of step.effects) act(run, effect)
  }
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) next()
  return { config, members: [...done.values()].toSorted((left, right) => left.index - right.index) }
}
