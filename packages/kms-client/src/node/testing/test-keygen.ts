import { ed25519 } from '@noble/curves/ed25519.js'
import { type CeremonySpec, type ClusterId, type Curve, decodeNodePublicKey, participantIndex, Secret } from '@tkms/dkg'
import { type KeygenMember, runKeygen } from '@tkms/dkg/testing'

/** A node's identity and its share of one key. */
export interface TestNode extends KeygenMember {
  /** Ed25519 seed, 32 bytes. */
  readonly seed: Uint8Array
  readonly share: Secret
}

export interface TestKey {
  readonly spec: CeremonySpec
  readonly certificate: Uint8Array
  readonly nodes: readonly TestNode[]
}

const randomBytes = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length))

/** A real key generation among honest nodes with random identities: real signatures, real certificate. */
export function generateTestKey(
  curve: Curve,
  options: { readonly n: number; readonly t: number; readonly keyName: string },
): TestKey {
  const members = Array.from({ length: options.n }, (_, at) => {
    const seed = randomBytes(32)
    const publicKey = decodeNodePublicKey(ed25519.getPublicKey(seed))
    const sign = (message: Uint8Array): Uint8Array => ed25519.sign(message, seed)
    return { index: participantIndex(at + 1), publicKey, seed, sign }
  })
  const { spec, certificate, shares } = runKeygen({
    ...options,
    curve,
    members,
    clusterId: randomBytes(32) as ClusterId,
    seedOf: () => new Secret(randomBytes(32)),
  })
  return {
    spec,
    certificate,
    nodes: members.map((member) => ({ ...member, share: present(shares.get(member.index)) })),
  }
}

/** The value, where a test is wrong without it. */
export function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the test set-up is incomplete')
  return value
}
