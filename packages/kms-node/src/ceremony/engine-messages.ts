import {
  type CeremonyEffect,
  type CeremonyInput,
  type CeremonyTimings,
  type MemberSignature,
  Secret,
  type VerifiedKey,
} from '@tkms/dkg'

/**
 * What a node and the process that runs its engine say to each other over the IPC channel (structured clone, never argv or env).
 * Every request is answered by exactly one reply. A `Secret` crosses as bytes that both sides wipe.
 */
export type EngineRequest =
  | {
      readonly type: 'open'
      /** Ed25519 seed, 32 bytes. */
      readonly identity: Uint8Array
      /** Canonical X. */
      readonly spec: Uint8Array
      readonly self: number
      readonly timings: CeremonyTimings
      /** RESHARE: the sharing that X replaces, verified; structured clone keeps its shape. */
      readonly previous?: VerifiedKey
      /** RESHARE, IMPORT: AUTH, verified. */
      readonly authorizations?: readonly MemberSignature[]
      /** Present: continue from it. */
      readonly snapshot?: Uint8Array
    }
  | { readonly type: 'input'; readonly input: WireInput }

export type EngineReply =
  | { readonly type: 'effects'; readonly effects: readonly WireEffect[] }
  /** The process ends after it. `code` is of a `KmsError`, or `unexpected`. */
  | { readonly type: 'failed'; readonly code: string }

type Wired<T> = {
  readonly [K in keyof T]: [Extract<T[K], Secret>] extends [never] ? T[K] : Uint8Array
}
type WiredUnion<T> = T extends unknown ? Wired<T> : never
export type WireInput = WiredUnion<CeremonyInput>
export type WireEffect = WiredUnion<CeremonyEffect>

/** A copy of the secret's bytes for the channel; wiped with `wipe` once it is sent. */
export const expose = (secret: Secret): Uint8Array => secret.use((bytes) => Uint8Array.from(bytes))

/** Takes bytes from the channel as a secret and wipes the received copy. */
export function seize(bytes: Uint8Array): Secret {
  const secret = Secret.copyOf(bytes)
  bytes.fill(0)
  return secret
}

export function toWireInput(input: CeremonyInput): WireInput {
  if (input.type !== 'seeds') return input
  const { type, view, dealing, receiver, oldShare } = input
  return {
    type,
    view,
    ...(dealing && { dealing: expose(dealing) }),
    ...(receiver && { receiver: expose(receiver) }),
    ...(oldShare && { oldShare: expose(oldShare) }),
  }
}

export function fromWireInput(input: WireInput): CeremonyInput {
  if (input.type !== 'seeds') return input
  const { type, view, dealing, receiver, oldShare } = input
  return {
    type,
    view,
    ...(dealing && { dealing: seize(dealing) }),
    ...(receiver && { receiver: seize(receiver) }),
    ...(oldShare && { oldShare: seize(oldShare) }),
  }
}

export function toWireEffect(effect: CeremonyEffect): WireEffect {
  if (effect.type === 'persist') return { ...effect, snapshot: expose(effect.snapshot) }
  if (effect.type !== 'complete') return effect
  const { type, certificate, share } = effect
  return share === undefined ? { type, certificate } : { type, certificate, share: expose(share) }
}

export function fromWireEffect(effect: WireEffect): CeremonyEffect {
  if (effect.type === 'persist') return { ...effect, snapshot: seize(effect.snapshot) }
  if (effect.type !== 'complete') return effect
  const { type, certificate, share } = effect
  return share === undefined ? { type, certificate } : { type, certificate, share: seize(share) }
}

/** Zeroes the exposed bytes of what was sent. */
export function wipe(message: WireInput | WireEffect): void {
  if (message.type === 'seeds') {
    message.dealing?.fill(0)
    message.receiver?.fill(0)
    message.oldShare?.fill(0)
  }
  if (message.type === 'persist') message.snapshot.fill(0)
  if (message.type === 'complete') message.share?.fill(0)
}
