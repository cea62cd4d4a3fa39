import { generateKeyPairSync, sign } from 'node:crypto'
import {
  type ClusterId,
  type CommitteeConfig,
  decodeNodePublicKey,
  type NodePublicKey,
  participantIndex,
  type Purpose,
  Secret,
} from '@tkms/dkg'
import { runKeygen } from '@tkms/dkg/testing'
import { selectCurve } from '@tkms/curve-native'
import { rng } from './pipeline.fixture.ts'

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

/** A key generation of three honest members with random identities, t = 2. */
export function generateKey(purpose: Purpose = 'ecies-dec', keyName = 'ecies/1'): TestCommittee {
  const members = [1, 2, 3].map((index) => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const raw = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(12))
    return {
      index: participantIndex(index),
      publicKey: decodeNodePublicKey(raw),
      sign: (message: Uint8Array) => new Uint8Array(sign(null, message, privateKey)),
    }
  })
  const { spec, certificate, shares } = runKeygen({
    curve: selectCurve().curve,
    members,
    t: 2,
    clusterId: rng.bytes(32) as ClusterId,
    purpose,
    keyName,
    seedOf: () => new Secret(rng.bytes(32)),
  })
  return {
    config: spec.newConfig,
    members: members.flatMap(({ index, publicKey }) => {
      const share = shares.get(index)
      return share === undefined ? [] : [{ index, publicKey, certificate, share }]
    }),
  }
}
