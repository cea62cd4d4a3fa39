import { describe, expect, it } from 'vitest'
import { encodeCertificate } from '../../packages/dkg/src/ceremony/certificate.ts'
import { advanceKey } from '../../packages/dkg/src/ceremony/certificate-chain.ts'
import { type CeremonySpec, configHash, createConfig } from '../../packages/dkg/src/ceremony/config.ts'
import { followCertificates } from '../../packages/dkg/src/ceremony/follow-chains.ts'
import { verifyCertificate } from '../../packages/dkg/src/ceremony/verify-certificate.ts'
import { addCertificate, clusterKeys } from '../../packages/dkg/src/cluster-keys.ts'
import type { Cluster } from '../../packages/dkg/src/cluster.ts'
import { type HandMade, keygenByHand, reshareByHand } from '../support/hand-made.ts'
import { type Identity, simulatedCommittee } from '../support/simulated-committee.ts'

/** Two certificates of one sharing, n_old = 5, t_old = 3, f_old = 1: whoever assembles one chooses which AUTH signatures go into it. */

const { curve, verify, identities, spec: template } = simulatedCommittee({ n: 8, t: 3, seed: 61 })
const { clusterId } = template
const members = (...indices: readonly number[]): Identity[] => identities.filter(({ index }) => indices.includes(index))
const first = members(1, 2, 3, 4, 5)
const second = members(3, 4, 6, 7)
const spec: CeremonySpec = { ...template, newConfig: createConfig({ clusterId, t: 3, members: first }) }
const genesis = keygenByHand(spec, first)
const full = reshareByHand(genesis, second, 2)
const weak = reshareByHand(genesis, second, 2, { authorizers: members(1, 2, 3) })
const accepted = [configHash(weak.spec.newConfig)]
const pins = { configHash: configHash(spec.newConfig) }

describe('of two certificates of one sharing', () => {
  it('the one with the full AUTH is followed, whichever comes first', () => {
    const known = verifyCertificate(curve, verify, genesis.bytes, pins)
    for (const candidates of [
      [weak.bytes, full.bytes],
      [full.bytes, weak.bytes],
    ]) {
      for (const hashes of [[], accepted])
        expect(advanceKey(curve, verify, known, candidates, hashes)).toMatchObject({
          steps: [{ sharingId: weak.sharingId, authorization: 'full' }],
          refused: [],
        })
      expect(followCertificates(curve, verify, pins, [genesis.bytes, ...candidates])).toMatchObject([
        { epoch: 1, authorization: 'full' },
      ])
    }
  })

  it('a cluster file shows the one with the full AUTH, and never goes back', () => {
    const later = reshareByHand(weak, first, 3)
    const born: Cluster = { config: spec.newConfig, ...pins, nodes: [], certificates: [genesis.bytes] }
    const grow = (cluster: Cluster, ...made: readonly HandMade[]): Cluster =>
      made.reduce((grown, { bytes }) => addCertificate(curve, verify, grown, bytes, accepted), cluster)
    const cluster = grow(born, weak, later, full)
    expect(cluster.certificates).toEqual([genesis.bytes, full.bytes, later.bytes])
    expect(clusterKeys(curve, verify, cluster)).toMatchObject([{ epoch: 2, authorization: 'full' }])
    expect(grow(cluster, weak)).toBe(cluster)
    const [signature] = full.certificate.authorizations
    const forged = encodeCertificate({
      ...full.certificate,
      authorizations: full.certificate.authorizations.map((entry) => ({
        ...entry,
        signature: signature?.signature ?? entry.signature,
      })),
    })
    expect(() => addCertificate(curve, verify, grow(born, weak), forged, accepted)).toThrow(
      expect.objectContaining({ code: 'bad-certificate' }),
    )
  })
})
