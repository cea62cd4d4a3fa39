import { commit, equalBytes, nobleCurve, Secret as NodeSecret, type VerifiedKey } from '@tkms/dkg'
import type { Rng } from '@tkms/kms-node'
import {
  type DealingSecrets,
  dealtShare,
  expandDealingSeed,
  expandReceiverSeed,
  openPolynomial,
} from '../../packages/dkg/src/ceremony/seeds.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import { drawViewSeeds } from '../../packages/kms-node/src/ceremony/hedged-seeds.ts'
import type { KnownSecret } from './leak-search.ts'

/** A generator that keeps a copy of everything it gave away. */
export interface RecordingRng extends Rng {
  readonly drawn: readonly Uint8Array[]
}

export function createRecordingRng(): RecordingRng {
  const drawn: Uint8Array[] = []
  return {
    drawn,
    bytes: (length) => {
      const bytes = crypto.getRandomValues(new Uint8Array(length))
      drawn.push(Uint8Array.from(bytes))
      return bytes
    },
  }
}

export interface DealerRecord {
  readonly name: string
  /** Everything the node drew. */
  readonly drawn: readonly Uint8Array[]
  /** 32 bytes, of its store. */
  readonly nodeSeed: Uint8Array
  /** A_i of its DEAL. */
  readonly commitment: readonly Uint8Array[]
}

/**
 * Every secret that a dealer held in view 0 of a ceremony, found by what it drew: the seeds whose expansion, through the node's own
 * code, commits to what its DEAL says.
 */
export function dealerSecrets(dealer: DealerRecord, key: VerifiedKey): readonly KnownSecret[] {
  for (const [at, draw] of dealer.drawn.entries()) {
    if (draw.length !== 32) continue
    const found = expandDraws(dealer, key, [draw, dealer.drawn[at + 1] ?? draw])
    if (found !== undefined) return found
  }
  throw new Error(`${dealer.name} drew nothing that its DEAL was made of`)
}

function expandDraws(
  { name, nodeSeed, commitment }: DealerRecord,
  key: VerifiedKey,
  draws: readonly [Uint8Array, Uint8Array],
): readonly KnownSecret[] | undefined {
  const [forDealing, forReceiver] = draws
  let next = 0
  const replay: Rng = { bytes: () => Uint8Array.from(next++ === 0 ? forDealing : forReceiver) }
  const hedge = new NodeSecret(Uint8Array.from(nodeSeed))
  const seeds = drawViewSeeds(replay, hedge, key.ceremony, { view: 0, dealing: true, receiver: true })
  if (seeds.dealing === undefined || seeds.receiver === undefined) throw new Error('no seeds were drawn')
  const dealingSeed = exposed(seeds.dealing)
  const receiverSeed = exposed(seeds.receiver)
  const receivers = key.config.members.map(({ index }) => participantIndex(index))
  const dealing = expandDealingSeed(Secret.copyOf(dealingSeed), key.t, receivers)
  const points = commit(nobleCurve, openPolynomial(dealing))
  if (!points.every((point, k) => equalBytes(point, commitment[k] ?? new Uint8Array(0)))) return undefined
  const receiver = expandReceiverSeed(Secret.copyOf(receiverSeed))
  const named = (what: string, bytes: Uint8Array): KnownSecret => ({ name: `${name} ${what}`, bytes })
  return [
    named('fresh bytes of its dealing seed', forDealing),
    named('fresh bytes of its receiver seed', forReceiver),
    named('dealing seed', dealingSeed),
    named('receiver seed', receiverSeed),
    ...dealing.coefficients.map((coefficient, k) => named(`coefficient ${k}`, exposed(coefficient))),
    named('dealing key r', exposed(dealing.ephemeral)),
    named('possession hedge A', exposed(dealing.auxA)),
    named('possession hedge R', exposed(dealing.auxR)),
    named('receiver key ek', exposed(receiver.key)),
    named('complaint hedge', exposed(receiver.aux)),
    ...dealtShares(dealing, receivers).map((bytes, at) => named(`dealt share ${at + 1}`, bytes)),
  ]
}

const dealtShares = (
  dealing: DealingSecrets,
  receivers: readonly ReturnType<typeof participantIndex>[],
): readonly Uint8Array[] => receivers.map((index) => exposed(dealtShare(openPolynomial(dealing), index)))

const exposed = (secret: { use<T>(run: (bytes: Uint8Array) => T): T }): Uint8Array =>
  secret.use((bytes) => Uint8Array.from(bytes))
