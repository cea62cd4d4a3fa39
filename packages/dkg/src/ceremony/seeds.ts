import { expand } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { attempt, u32 } from '../primitives/codec.ts'
import { decodeScalar, openScalar, secretScalar } from '../primitives/scalar.ts'
import { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { evaluatePolynomial, type Polynomial } from '../sharing/polynomial.ts'

/** Seeds of 32 bytes, one per view and use; destroyed once they are expanded (protocol R0). */
export const SEED_BYTES = 32

/** What a dealer holds between JOIN and DEAL, and erases when its DEAL is durable (protocol R2). */
export interface DealingSecrets {
  /** a_0..a_{t-1}, 32 bytes each. */
  readonly coefficients: readonly Secret[]
  /** r_i. */
  readonly ephemeral: Secret
  /** nonce_i, 32 bytes, opened in DEAL. */
  readonly nonce: Secret
  /** Auxiliary randomness of popA and popR, 32 bytes each. */
  readonly auxA: Secret
  readonly auxR: Secret
}

/** What a receiver holds until the ceremony is decided. */
export interface ReceiverSecrets {
  /** ek_j. */
  readonly key: Secret
  /** Auxiliary randomness of complaints, 32 bytes. */
  readonly aux: Secret
}

/** Blocks of 32 bytes: HKDF-Expand(seed, label || u32 counter), RFC 5869; the seed is uniform, so no extraction. */
export class SeedStream {
  readonly #seed: Secret
  readonly #label: Uint8Array
  #counter = 0

  constructor(seed: Secret, label: string) {
    this.#seed = seed
    this.#label = utf8ToBytes(`TKMS/1 ${label}`)
  }

  block(): Secret {
    const info = concatBytes(this.#label, u32(this.#counter++))
    return new Secret(this.#seed.use((seed) => expand(sha256, seed, info, 32)))
  }

  /** Uniform in 1..N-1 by rejection: no modular bias. */
  scalar(): Secret {
    for (;;) {
      const block = this.block()
      if (block.use((bytes) => attempt(() => decodeScalar(bytes))) !== undefined) return block
      block.destroy()
    }
  }
}

/**
 * Expands a dealing seed: t coefficients (drawn again as a whole while some f_i(j) is 0), r_i, nonce_i (protocol R0). Destroys the seed.
 * @param receivers every index of newConfig
 * @param constant a_0 of a RESHARE, 32 bytes, borrowed: the old share
 */
export function expandDealingSeed(
  seed: Secret,
  t: number,
  receivers: readonly ParticipantIndex[],
  constant?: Secret,
): DealingSecrets {
  const stream = new SeedStream(seed, 'dealing')
  const coefficients = drawCoefficients(stream, { t, receivers, constant })
  const secrets = {
    coefficients,
    ephemeral: stream.scalar(),
    nonce: stream.block(),
    auxA: stream.block(),
    auxR: stream.block(),
  }
  seed.destroy()
  return secrets
}

function drawCoefficients(
  stream: SeedStream,
  {
    t,
    receivers,
    constant,
  }: {
    readonly t: number
    readonly receivers: readonly ParticipantIndex[]
    readonly constant: Secret | undefined
  },
): readonly Secret[] {
  for (;;) {
    const first = constant?.use((bytes) => Secret.copyOf(bytes)) ?? stream.scalar()
    const drawn = [first, ...Array.from({ length: t - 1 }, () => stream.scalar())]
    const polynomial = drawn.map(openScalar)
    if (receivers.every((index) => evaluatePolynomial(polynomial, index) !== 0n)) return drawn
    for (const coefficient of drawn) coefficient.destroy()
  }
}

/** Expands a receiver seed: ek_j and the hedge of its complaints. Destroys the seed. */
export function expandReceiverSeed(seed: Secret): ReceiverSecrets {
  const stream = new SeedStream(seed, 'receiver')
  const secrets = { key: stream.scalar(), aux: stream.block() }
  seed.destroy()
  return secrets
}

export const openPolynomial = (secrets: DealingSecrets): Polynomial => secrets.coefficients.map(openScalar)

/** f_i(j) as a secret scalar. Never zero: `expandDealingSeed` saw to it. */
export const dealtShare = (polynomial: Polynomial, index: ParticipantIndex): Secret =>
  secretScalar(evaluatePolynomial(polynomial, index))

export function destroyDealing(secrets: DealingSecrets): void {
  for (const secret of [...secrets.coefficients, secrets.ephemeral, secrets.nonce, secrets.auxA, secrets.auxR])
    secret.destroy()
}

export function destroyReceiver(secrets: ReceiverSecrets): void {
  secrets.key.destroy()
  secrets.aux.destroy()
}
