import { describe, expect, it } from 'vitest'
import { signAuthorization } from '../../packages/dkg/src/ceremony/authorization.ts'
import { followCertificates } from '../../packages/dkg/src/ceremony/follow-chains.ts'
import { encodeCertificate } from '../../packages/dkg/src/ceremony/certificate.ts'
import { checkCertificate } from '../../packages/dkg/src/ceremony/check-certificate.ts'
import {
  type CeremonySpec,
  ceremonyId,
  configHash,
  createConfig,
  decodeSpec,
  encodeSpec,
  type ImportSpec,
} from '../../packages/dkg/src/ceremony/config.ts'
import {
  verifyCertificate,
  type VerifiedKey,
  verifySuccessor,
} from '../../packages/dkg/src/ceremony/verify-certificate.ts'
import { attempt } from '../../packages/dkg/src/primitives/codec.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import type { KeyId, SharingId } from '../../packages/dkg/src/primitives/types.ts'
import {
  type HandMade,
  importByHand,
  keygenByHand,
  recombine,
  reshareByHand,
  signedByHand,
} from '../support/hand-made.ts'
import { bytesOf, type Identity, simulatedCommittee } from '../support/simulated-committee.ts'

const world = simulatedCommittee({ n: 9, t: 3, seed: 6 })
const { curve, verify, identities } = world
const members = (...indices: readonly number[]): Identity[] => identities.filter(({ index }) => indices.includes(index))
const { clusterId } = world.spec
const first = members(1, 2, 3, 4, 5)
const keygen: CeremonySpec = { ...world.spec, newConfig: createConfig({ clusterId, t: 3, members: first }) }
const genesis = keygenByHand(keygen, first)
const pins = { configHash: configHash(keygen.newConfig) }
const known = verifyCertificate(curve, verify, genesis.bytes, pins)
const second = members(2, 3, 4, 6)
const reshared = reshareByHand(genesis, second, 2)
const bad: unknown = expect.objectContaining({ code: 'bad-certificate' })

const successor = (made: HandMade | Uint8Array, previous: VerifiedKey = known, acceptDegraded?: Uint8Array) =>
  verifySuccessor(
    curve,
    verify,
    previous,
    made instanceof Uint8Array ? made : made.bytes,
    acceptDegraded && { acceptDegraded },
  )

const follow = (...made: readonly HandMade[]): VerifiedKey[] =>
  followCertificates(
    curve,
    verify,
    pins,
    made.map(({ bytes }) => bytes),
  )

describe('an import', () => {
  const [importer] = members(9)
  if (importer === undefined) throw new Error('no importer')
  const imported = importByHand(keygen, importer, 0xabcdefn, first)

  it('is a genesis: its committee and its public key are pinned', () => {
    const key = verifyCertificate(curve, verify, imported.bytes, { ...pins, groupKey: imported.groupKey })
    expect(key).toMatchObject({ kind: 'import', epoch: 0, authorization: 'full', dealers: [9], keyId: imported.keyId })
    expect(
      recombine(
        imported.shares,
        first.slice(2).map(({ index }) => index),
      ),
    ).toBe(0xabcdefn)
    expect(() => verifyCertificate(curve, verify, imported.bytes, { ...pins, groupKey: genesis.groupKey })).toThrow(bad)
    expect(successor(reshareByHand(imported, second, 2), key)).toMatchObject({ epoch: 1, kind: 'reshare' })
    expect(follow(genesis, imported, reshared).map(({ epoch }) => epoch)).toEqual([1, 0])
  })

  it('succeeds nothing, and nothing but its importer dealt and authorised it', () => {
    expect(() => successor(imported)).toThrow(bad)
    for (const signers of [{ authorizers: [] }, { authorizers: members(1) }, { dealers: [] }]) {
      const other = importByHand(keygen, importer, 0xabcdefn, first, signers)
      const dealings = 'dealers' in signers ? [] : other.certificate.outcome.dealings
      const what = { ...other.certificate, outcome: { ...other.certificate.outcome, dealings } }
      expect(() => checkCertificate(curve, verify, encodeCertificate(signedByHand(what, first)))).toThrow(bad)
    }
  })

  it('is of the public key that X names', () => {
    const { spec } = imported
    if (spec.kind !== 'import') throw new Error('no import')
    const bent = (change: Partial<ImportSpec>): Uint8Array => {
      const changed = { ...spec, ...change }
      const { outcome } = imported.certificate
      const authorizations = [signAuthorization(importer.sign, changed, importer.index)]
      const bentOutcome = { ...outcome, ceremony: ceremonyId(changed), keyId: changed.keyId }
      return encodeCertificate(signedByHand({ spec: changed, outcome: bentOutcome, authorizations }, first))
    }
    expect(checkCertificate(curve, verify, bent({ notAfter: 5 })).authorization).toBe('full')
    expect(() => checkCertificate(curve, verify, bent({ keyId: bytesOf('other') as KeyId }))).toThrow(bad)
    expect(() => checkCertificate(curve, verify, bent({ prevOutcome: bytesOf('other') as SharingId }))).toThrow(bad)
  })

  it('reads back, and its old config is the only place for a single node', () => {
    const { spec } = imported
    for (const made of [spec, reshared.spec]) {
      const encoded = encodeSpec(made)
      expect(encodeSpec(decodeSpec(encoded))).toEqual(encoded)
      expect(decodeSpec(encoded)).toMatchObject({ kind: made.kind, epoch: made.epoch })
    }
    if (spec.kind !== 'import' || reshared.spec.kind !== 'reshare') throw new Error('no import')
    const refused = (other: CeremonySpec) => expect(attempt(() => decodeSpec(encodeSpec(other)))).toBeUndefined()
    refused({ ...spec, oldConfig: reshared.spec.oldConfig })
    refused({ ...spec, oldConfig: { ...spec.oldConfig, f: 1 } })
    refused({ ...spec, newConfig: spec.oldConfig })
    refused({ ...reshared.spec, oldConfig: spec.oldConfig })
    refused({ ...reshared.spec, epoch: 0 })
    refused({ ...keygen, newConfig: spec.oldConfig })
  })

  it('and every hand-over keeps an index for one identity and an identity at one index', () => {
    const [one] = members(1)
    const [two] = members(2)
    const { spec } = reshared
    if (one === undefined || two === undefined || spec.kind !== 'reshare') throw new Error('no members')
    const at = (config: readonly { index: number; publicKey: Identity['publicKey'] }[]) =>
      createConfig({
        clusterId,
        t: 2,
        members: config.map(({ index, publicKey }) => ({ index: participantIndex(index), publicKey })),
      })
    const refused = (other: CeremonySpec) => expect(attempt(() => decodeSpec(encodeSpec(other)))).toBeUndefined()
    const [, ...rest] = second
    refused({ ...spec, newConfig: at([{ index: 1, publicKey: two.publicKey }, ...rest]) })
    refused({ ...spec, newConfig: at([{ index: 12, publicKey: one.publicKey }, ...rest]) })
    const elsewhere = createConfig({ clusterId: bytesOf('elsewhere') as typeof clusterId, t: 3, members: first })
    refused({ ...spec, oldConfig: elsewhere })
  })
})
