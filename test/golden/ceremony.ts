import { ed25519 } from '@noble/curves/ed25519.js'
import { type ClusterId, decodeNodePublicKey, nobleCurve, participantIndex, type SignMessage } from '@tkms/dkg'
import { type KeygenMember, type KeygenRun, runKeygen } from '@tkms/dkg/testing'
import { fixed, fixedSecret } from './fixed.ts'

const N = 5
const T = 3

export interface GoldenMember extends KeygenMember {
  readonly seed: Uint8Array
}

export const goldenMembers: readonly GoldenMember[] = Array.from({ length: N }, (_, at) => {
  const seed = fixed('identity', at + 1)
  const sign: SignMessage = (message) => ed25519.sign(message, seed)
  return {
    index: participantIndex(at + 1),
    seed,
    publicKey: decodeNodePublicKey(ed25519.getPublicKey(seed)),
    sign,
  }
})

/** Five engines on noble with fixed identities and seeds: every run has the same bytes. */
export const runGoldenCeremony = (): KeygenRun =>
  runKeygen({
    curve: nobleCurve,
    members: goldenMembers,
    t: T,
    clusterId: fixed('cluster') as ClusterId,
    keyName: 'ecies/golden',
    seedOf: (index, use) => fixedSecret(use, index),
  })
