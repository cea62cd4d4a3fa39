import { beforeAll, describe, expect, it } from 'vitest'
import { checkCertificate } from '../../packages/dkg/src/ceremony/check-certificate.ts'
import { verifyCertificate, verifySuccessor } from '../../packages/dkg/src/ceremony/verify-certificate.ts'
import { configHash } from '../../packages/dkg/src/ceremony/config.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { PointBytes } from '../../packages/dkg/src/primitives/types.ts'
import { verifyShare } from '../../packages/dkg/src/sharing/feldman.ts'
import { lagrangeCoefficients } from '../../packages/dkg/src/sharing/lagrange.ts'
import { bytesOf, type Committee, simulatedCommittee } from '../support/simulated-committee.ts'
import { importOf, reshareOf, type Sharing, sharingOf } from '../support/simulated-reshare.ts'
import { simulate } from '../support/simulation.ts'

const everyone = simulatedCommittee({ n: 8, t: 3, seed: 1 })
const first = simulatedCommittee({ n: 5, t: 3, seed: 1 })
const K = first.curve.mulBaseSecret(new Secret(bytesOf('K')))

let genesis: Sharing
beforeAll(() => {
  genesis = sharingOf(first, simulate({ committee: first, seed: 1 }))
})

/** sum l_i * K * s_i over the first t shares. */
function decrypt({ committee, shares }: Sharing, t: number): PointBytes | undefined {
  const chosen = [...shares].slice(-t)
  const weights = lagrangeCoefficients(chosen.map(([index]) => index as never))
  return committee.curve.linearCombination(
    chosen.map(([, share], at) => ({ scalar: weights[at] ?? 0n, point: committee.curve.mulSecret(K, share) })),
  )
}

function expectSharing(sharing: Sharing): void {
  const { committee, certificate, shares } = sharing
  const key = checkCertificate(committee.curve, committee.verify, certificate)
  expect([...shares.keys()]).toEqual(key.config.members.map(({ index }) => index))
  for (const [index, share] of shares)
    expect(verifyShare(committee.curve, key.commitment, index as never, share)).toBe(true)
  expect(decrypt(sharing, key.t)).toEqual(decrypt(genesis, 3))
}

const reshared = (sharing: Sharing, committee: Committee, seed: number, crashProbability = 0): Sharing => {
  const results = simulate({ committee, seed, oldShares: sharing.shares, crashProbability })
  for (const result of results.values()) {
    expect(result.phase, `node ${result.index}`).toBe('archived')
    expect(result.faults).toEqual([])
  }
  return sharingOf(committee, results)
}

describe('RESHARE', () => {
  const members = (...indices: readonly number[]) => everyone.identities.filter(({ index }) => indices.includes(index))

  for (const [name, indices, t] of [
    ['refreshes the shares of the same committee', [1, 2, 3, 4, 5], 3],
    ['lets two members join and raises the threshold', [1, 2, 3, 4, 5, 6, 7], 4],
    ['replaces a member', [1, 2, 3, 4, 6], 3],
    ['lowers threshold and size', [1, 2, 3, 4], 2],
    ['moves to a committee without any old member', [6, 7, 8], 2],
  ] as const)
    it(`${name}: same key, every share verifies, old ciphertexts open`, () => {
      const committee = reshareOf(genesis, { members: members(...indices), t })
      const next = reshared(genesis, committee, 7)
      expectSharing(next)
      const { curve, verify } = committee
      const old = verifyCertificate(curve, verify, genesis.certificate, {
        configHash: configHash(first.spec.newConfig),
      })
      expect(verifySuccessor(curve, verify, old, next.certificate).epoch).toBe(1)
    })

  it('twenty epochs in a row, members and thresholds changing, nodes crashing, end with every old ciphertext opening', {
    timeout: 60_000,
  }, () => {
    let sharing = genesis
    for (let epoch = 1; epoch <= 20; epoch++) {
      const size = 4 + (epoch % 4)
      const start = epoch % 8
      const indices = Array.from({ length: size }, (_, at) => ((start + at) % 8) + 1)
      const t = 2 + (epoch % 2)
      const committee = reshareOf(sharing, { members: members(...indices), t: Math.min(t, size - 1) })
      sharing = reshared(sharing, committee, epoch, 0.01)
      expectSharing(sharing)
    }
    expect(checkCertificate(first.curve, first.verify, sharing.certificate).epoch).toBe(20)
  })
})

describe('IMPORT', () => {
  it('shares an existing key: the public key stays', () => {
    const key = new Secret(bytesOf('an existing key'))
    const [importer] = first.identities
    if (importer === undefined) throw new Error('a committee has members')
    const committee = importOf(first, importer, key)
    const results = simulate({ committee, seed: 3, oldShares: new Map([[importer.index, key]]) })
    const sharing = sharingOf(committee, results)
    const certified = checkCertificate(first.curve, first.verify, sharing.certificate)
    expect(certified.groupKey).toEqual(first.curve.mulBaseSecret(key))
    expect(decrypt(sharing, 3)).toEqual(first.curve.mulSecret(K, key))
  })
})
