import { expect } from 'vitest'
import { decodeCertificate } from '../../packages/dkg/src/ceremony/certificate.ts'
import { type VerifiedKey, verifyCertificate } from '../../packages/dkg/src/ceremony/verify-certificate.ts'
import { ceremonyId, configHash } from '../../packages/dkg/src/ceremony/config.ts'
import type { Fault } from '../../packages/dkg/src/ceremony/evidence.ts'
import { verifyEvidence } from '../../packages/dkg/src/evidence/verify-evidence.ts'
import { leaderOf } from '../../packages/dkg/src/ceremony/join.ts'
import { decodeSigned } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import type { ParticipantIndex, PointBytes } from '../../packages/dkg/src/primitives/types.ts'
import { verifyShare } from '../../packages/dkg/src/sharing/feldman.ts'
import { lagrangeCoefficients } from '../../packages/dkg/src/sharing/lagrange.ts'
import type { Committee } from './simulated-committee.ts'
import type { NodeResult } from './simulation.ts'

/** What every run of a ceremony is held against. */

export const leader = ({ spec }: Committee): number => leaderOf(spec.newConfig, ceremonyId(spec), 0)
export const others = (committee: Committee): ParticipantIndex[] =>
  committee.identities.map(({ index }) => index).filter((index) => index !== leader(committee))

/** Every node holds a verified share of one certified key; returns that key. */
export function expectAgreement(committee: Committee, results: readonly NodeResult[]): VerifiedKey {
  const pin = { configHash: configHash(committee.spec.newConfig) }
  const keys = results.map((result) => {
    expect(result.phase, `node ${result.index}`).toBe('archived')
    return verifyCertificate(committee.curve, committee.verify, result.certificate ?? new Uint8Array(), pin)
  })
  const [key] = keys
  if (key === undefined) throw new Error('no results')
  expect(new Set(keys.map(({ sharingId }) => bytesKey(sharingId))).size).toBe(1)
  for (const { index, share } of results) {
    if (share === undefined) throw new Error(`node ${index} has no share`)
    expect(verifyShare(committee.curve, key.commitment, index, share)).toBe(true)
  }
  return key
}

/** sum l_i * K * s_i over these nodes. */
export function combined(committee: Committee, results: readonly NodeResult[], K: PointBytes): PointBytes | undefined {
  const coefficients = lagrangeCoefficients(results.map(({ index }) => index))
  return committee.curve.linearCombination(
    results.map(({ share }, at) => {
      if (share === undefined) throw new Error('no share')
      return { scalar: coefficients[at] ?? 0n, point: committee.curve.mulSecret(K, share) }
    }),
  )
}

export function expectNamed(
  committee: Committee,
  results: Iterable<NodeResult>,
  culprit: number,
  kinds: readonly string[],
): void {
  const pin = { configHash: configHash(committee.spec.newConfig) }
  for (const result of results) {
    if (result.index === culprit) continue
    expect(
      result.faults.map((fault) => fault.culprit),
      `node ${result.index}`,
    ).toEqual([culprit])
    for (const fault of result.faults) {
      expect(kinds).toContain(fault.kind)
      const verified = verifyEvidence(committee.curve, committee.verify, fault.evidence, pin)
      expect(verified).toEqual({ ...fault, evidence: fault.evidence } satisfies Fault)
    }
  }
}

/** No node ever signed two messages for one slot, in none of its lives. */
export function expectSlotsFilledOnce(results: readonly NodeResult[]): void {
  for (const { index, sent } of results) {
    const slots = new Map<string, string>()
    for (const { header, payload, body } of sent.map((signed) => decodeSigned(signed))) {
      if (header.from !== index) continue
      const accused = header.name === 'complain' ? bytesKey(payload.subarray(32, 34)) : ''
      const slot = `${header.name}/${header.view}/${accused}`
      expect(slots.get(slot) ?? bytesKey(body), `node ${index}, ${slot}`).toBe(bytesKey(body))
      slots.set(slot, bytesKey(body))
    }
  }
}

export const honest = (results: Map<number, NodeResult>, culprit: number): NodeResult[] =>
  [...results.values()].filter(({ index }) => index !== culprit)

export function qualified(committee: Committee, result: NodeResult | undefined): number[] {
  const certificate = decodeCertificate(committee.curve, result?.certificate ?? new Uint8Array())
  return certificate.outcome.dealings.map(({ dealer }) => dealer)
}
