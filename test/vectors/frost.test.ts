import {
  commit,
  decodeScalar,
  lagrangeCoefficients,
  nobleCurve,
  ORDER,
  participantIndex,
  Secret,
  verificationShare,
  verifyShare,
} from '@tkms/dkg'
import { bytesToHex } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { participantIndex as sourceIndex } from '../../packages/dkg/src/primitives/point.ts'
import { evaluatePolynomial } from '../../packages/dkg/src/sharing/polynomial.ts'
import { backends, bytes, describeVectors, number, readJson } from '../support/vectors.ts'

interface DealerVectors {
  readonly inputs: {
    readonly participant_list: readonly number[]
    readonly group_secret_key: string
    readonly group_public_key?: string
    readonly verifying_key_key?: string
    readonly share_polynomial_coefficients: readonly string[]
    readonly participant_shares: readonly { readonly identifier: number; readonly participant_share: string }[]
  }
}

interface DkgParticipant {
  readonly identifier: number
  readonly signing_key: string
  readonly coefficient: string
  readonly vss_commitments: readonly string[]
  /** By sender: what this participant received. */
  readonly signing_shares: Readonly<Record<string, string>>
  readonly verifying_share: string
  readonly signing_share: string
}

const modOrder = (value: bigint): bigint => ((value % ORDER) + ORDER) % ORDER
const share = (polynomial: readonly bigint[], index: number): bigint =>
  evaluatePolynomial(polynomial, sourceIndex(index))

describeVectors('FROST, trusted dealer (RFC 9591 appendix E)', () => {
  describe.each(['cfrg-frost-secp256k1-sha256.json', 'frost-secp256k1-vectors.json'])('%s', (file) => {
    const { inputs } = readJson<DealerVectors>(`frost-rfc9591/${file}`)
    const polynomial = [inputs.group_secret_key, ...inputs.share_polynomial_coefficients].map(number)
    const groupKey = inputs.group_public_key ?? inputs.verifying_key_key

    it('evaluates the shares', () => {
      expect(inputs.participant_shares).toHaveLength(3)
      for (const { identifier, participant_share } of inputs.participant_shares)
        expect(share(polynomial, identifier)).toBe(number(participant_share))
    })

    it('interpolates the secret at 0 from the listed participants', () => {
      const factors = lagrangeCoefficients(inputs.participant_list.map(participantIndex))
      const shares = inputs.participant_list.map((index) =>
        number(inputs.participant_shares.find(({ identifier }) => identifier === index)?.participant_share ?? ''),
      )
      const secret = modOrder(shares.reduce((sum, value, at) => sum + value * (factors[at] ?? 0n), 0n))
      expect(secret).toBe(number(inputs.group_secret_key))
    })

    it.each(backends)('commits to the group key and verifies each share on $backend', (curve) => {
      const commitment = commit(curve, polynomial)
      expect(bytesToHex(commitment[0] ?? new Uint8Array())).toBe(groupKey)
      for (const { identifier, participant_share } of inputs.participant_shares)
        expect(verifyShare(curve, commitment, participantIndex(identifier), new Secret(bytes(participant_share)))).toBe(
          true,
        )
    })
  })
})

describeVectors('FROST distributed key generation, 2 of 3', () => {
  const { inputs } = readJson<{ inputs: Record<string, DkgParticipant> & { verifying_key: string } }>(
    'frost-dkg/vectors_dkg.json',
  )
  const participants = ['1', '2', '3'].map((name) => inputs[name] as DkgParticipant)
  const polynomialOf = ({ signing_key, coefficient }: DkgParticipant): bigint[] =>
    [signing_key, coefficient].map(number)

  it.each(participants)('participant $identifier: commitments', (participant) => {
    for (const curve of backends)
      expect(commit(curve, polynomialOf(participant)).map((point) => bytesToHex(point))).toEqual(
        participant.vss_commitments,
      )
  })

  it.each(participants)('participant $identifier: received shares, each verified, and their sum', (participant) => {
    const index = participantIndex(participant.identifier)
    let sum = 0n
    for (const dealer of participants) {
      const value = share(polynomialOf(dealer), participant.identifier)
      sum = modOrder(sum + value)
      if (dealer === participant) continue
      const received = participant.signing_shares[String(dealer.identifier)] ?? ''
      expect(value).toBe(number(received))
      const commitment = commit(nobleCurve, polynomialOf(dealer))
      for (const curve of backends)
        expect(verifyShare(curve, commitment, index, new Secret(bytes(received)))).toBe(true)
    }
    expect(sum).toBe(number(participant.signing_share))
  })

  it.each(backends)('group key and verification shares from the summed commitments on $backend', (curve) => {
    const commitments = participants.map((participant) => commit(curve, polynomialOf(participant)))
    const summed = [0, 1].map((k) => curve.sum(commitments.map((commitment) => commitment[k] ?? curve.generator)))
    const total = summed.filter((point) => point !== undefined)
    expect(bytesToHex(total[0] ?? new Uint8Array())).toBe(inputs.verifying_key)
    for (const participant of participants)
      expect(bytesToHex(verificationShare(curve, total, participantIndex(participant.identifier)))).toBe(
        participant.verifying_share,
      )
  })

  it.each(backends)('refuses the invalid element on $backend', (curve) => {
    const { elements } = readJson<{ elements: { invalid_element: string } }>('frost-dkg/elements.json')
    expect(curve.isPoint(bytes(elements.invalid_element))).toBe(false)
  })

  it('reads the sample scalar and elements', () => {
    const samples = readJson<{ element1: string; element2: string; scalar1: string }>('frost-dkg/samples.json')
    expect(decodeScalar(bytes(samples.scalar1))).toBe(number(samples.scalar1))
    for (const curve of backends) {
      expect(curve.generator).toEqual(bytes(samples.element1))
      expect(curve.evaluate([curve.generator, curve.generator], 1)).toEqual(bytes(samples.element2))
    }
  })
})
