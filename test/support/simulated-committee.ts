import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes } from '@noble/hashes/utils.js'
import { loadNativeCurve } from '@tkms/curve-native'
import type { MemberSignature } from '../../packages/dkg/src/ceremony/certificate.ts'
import type { CheckedKey } from '../../packages/dkg/src/ceremony/check-certificate.ts'
import { type CeremonySpec, createConfig } from '../../packages/dkg/src/ceremony/config.ts'
import type { Curve } from '../../packages/dkg/src/primitives/curve.ts'
import { type SignMessage, verifyEd25519, type VerifyMessage } from '../../packages/dkg/src/primitives/ed25519.ts'
import { nobleCurve } from '../../packages/dkg/src/primitives/noble-curve.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import type { ClusterId, NodePublicKey, ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'

/** The fastest backend here. The packages' types come from their builds, the simulation reads the sources: same shape, other brands. */
export const fastCurve: Curve = (loadNativeCurve() as unknown as Curve | undefined) ?? nobleCurve

/** A seeded generator: the same seed replays the same run (SplitMix32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32
  }
}

/** 32 bytes that depend on every part. */
export const bytesOf = (...parts: readonly (string | number)[]): Uint8Array =>
  sha256(new TextEncoder().encode(parts.join('|')))

const cheapTag = (publicKey: Uint8Array, message: Uint8Array): Uint8Array => {
  const half = sha256(concatBytes(publicKey, message))
  return concatBytes(half, half)
}

/** Signatures that anyone could forge and nobody here does: for runs that do not test signatures. */
const cheapVerify: VerifyMessage = (publicKey, message, signature) =>
  Buffer.compare(signature, cheapTag(publicKey, message)) === 0

export interface Identity {
  readonly index: ParticipantIndex
  readonly publicKey: NodePublicKey
  readonly sign: SignMessage
}

export interface Committee {
  readonly spec: CeremonySpec
  readonly identities: readonly Identity[]
  readonly curve: Curve
  readonly verify: VerifyMessage
  /** RESHARE: the certificate of the sharing that is replaced. */
  readonly previous?: CheckedKey
  readonly authorizations?: readonly MemberSignature[]
}

/** A committee with deterministic identities. `signatures: 'ed25519'` is the real verifier, slow. */
export function simulatedCommittee(options: {
  readonly n: number
  readonly t: number
  readonly seed: number
  readonly signatures?: 'cheap' | 'ed25519'
  readonly curve?: Curve
}): Committee {
  const { n, t, seed } = options
  const real = options.signatures === 'ed25519'
  const identities = Array.from({ length: n }, (_, at): Identity => {
    const secret = bytesOf('identity', seed, at)
    const publicKey = ed25519.getPublicKey(secret) as NodePublicKey
    const sign: SignMessage = real
      ? (message) => ed25519.sign(message, secret)
      : (message) => cheapTag(publicKey, message)
    return { index: participantIndex(at + 1), publicKey, sign }
  })
  const clusterId = bytesOf('cluster', seed) as ClusterId
  const newConfig = createConfig({ clusterId, t, members: identities })
  const spec: CeremonySpec = {
    kind: 'keygen',
    suite: 1,
    clusterId,
    purpose: 'ecies-dec',
    keyName: 'ecies/test',
    generation: 1,
    epoch: 0,
    attempt: 0,
    newConfig,
    notAfter: 2_000_000_000,
  }
  return { spec, identities, curve: options.curve ?? fastCurve, verify: real ? verifyEd25519 : cheapVerify }
}
