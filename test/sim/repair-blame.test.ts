import { describe, expect, it } from 'vitest'
import { decodeScalar, encodeScalar, modOrder } from '../../packages/dkg/src/primitives/scalar.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import { configHash } from '../../packages/dkg/src/ceremony/config.ts'
import { verifyEvidence } from '../../packages/dkg/src/evidence/verify-evidence.ts'
import {
  CONTRIBUTION_TAG,
  decodeContribution,
  encodeContribution,
  encodePart,
  encodeSignedRepair,
  encodeSum,
} from '../../packages/dkg/src/repair/messages.ts'
import { signBody } from '../../packages/dkg/src/repair/signed-body.ts'
import { RepairBench } from '../support/repair-bench.ts'
import type { Sent } from '../support/repair-record.ts'
import { isShareOf, type RepairCase, repairCase } from '../support/repair-case.ts'
import { curve, expectRepaired, nth, signerOf } from '../support/repair-checks.ts'
import { bytesOf } from '../support/simulated-committee.ts'

/** Everybody's verdict on evidence, from the pinned committee alone. */
const proven = (repair: RepairCase, evidence: Uint8Array) =>
  verifyEvidence(curve, repair.committee.verify, evidence, { configHash: configHash(repair.sharing.config) })

const plusOne = (secret: Secret): Secret =>
  new Secret(secret.use((bytes) => encodeScalar(modOrder(decodeScalar(bytes) + 1n))))

/** One helper lies in one way; the repair must end with the right share and the right names. */
describe('row 33: a helper lies', () => {
  const repair = repairCase(5, 3, 21)
  const recoverer = nth(repair, 4)
  const [liar, second, third, spare] = [0, 1, 2, 3].map((at) => nth(repair, at)) as [
    ParticipantIndex,
    ParticipantIndex,
    ParticipantIndex,
    ParticipantIndex,
  ]
  const helpers = [liar, second, third]
  const from = (sent: Sent, index: number, kind: Sent['message']['kind']): boolean =>
    sent.from === index && sent.message.kind === kind

  for (const i of helpers)
    for (const k of helpers.filter((index) => index !== i))
      it(`d_ik from helper ${helpers.indexOf(i) + 1} to helper ${helpers.indexOf(k) + 1} corrupted: both are named, one is replaced`, () => {
        const bench = new RepairBench(repair, {
          recoverer,
          tamper: (sent) =>
            from(sent, i, 'part') && sent.to === k && sent.message.kind === 'part'
              ? [encodePart(sent.message.rid, plusOne(sent.message.part)).use((bytes) => Uint8Array.from(bytes))]
              : [sent.bytes],
        }).run()
        expectRepaired(repair, recoverer, bench)
        expect(bench.disputes.every(([a, b]) => a === i && b === k)).toBe(true)
        expect(bench.disputes.length).toBeGreaterThan(0)
        expect(bench.faults).toEqual([])
      })

  for (const i of helpers)
    for (const at of [0, 1, 2])
      it(`D_ik number ${at + 1} of helper ${helpers.indexOf(i) + 1} corrupted: E7, provable from the certificate`, () => {
        const bench = new RepairBench(repair, {
          recoverer,
          tamper: (sent) => {
            if (!from(sent, i, 'contribution') || sent.message.kind !== 'contribution') return [sent.bytes]
            const contribution = decodeContribution(curve, sent.message.signed.body)
            if (contribution.from !== i) return [sent.bytes]
            const parts = contribution.parts.map((part, k) => (k === at ? { ...part, point: curve.generator } : part))
            const lie = signBody(signerOf(repair, i), CONTRIBUTION_TAG, encodeContribution({ ...contribution, parts }))
            return [encodeSignedRepair('contribution', lie)]
          },
        }).run()
        expectRepaired(repair, recoverer, bench)
        const mine = bench.faults.filter((one) => one.at === recoverer)
        expect(mine.map(({ fault }) => [fault.kind, fault.culprit])).toEqual([['E7', i]])
        for (const { fault } of bench.faults) {
          expect(fault.culprit).toBe(i)
          expect(proven(repair, fault.evidence)).toMatchObject({ kind: 'E7', culprit: i, certainty: 'proven' })
        }
      })

  for (const k of helpers)
    it(`sigma_k of helper ${helpers.indexOf(k) + 1} corrupted: r names k and asks another`, () => {
      const bench = new RepairBench(repair, {
        recoverer,
        tamper: (sent) =>
          from(sent, k, 'sum') && sent.message.kind === 'sum'
            ? [
                encodeSum(sent.message.rid, plusOne(sent.message.sum), sent.message.refs).use((bytes) =>
                  Uint8Array.from(bytes),
                ),
              ]
            : [sent.bytes],
      }).run()
      expectRepaired(repair, recoverer, bench)
      expect(bench.faults.map(({ at, fault }) => [at, fault.kind, fault.culprit, fault.certainty])).toEqual([
        [recoverer, 'E7', k, 'alleged'],
      ])
    })

  it('a helper with another share than its own: it notices and contributes nothing', () => {
    const wrong = (index: number): Uint8Array => repair.shareOf(index === liar ? spare : index)
    const bench = new RepairBench(repair, { recoverer, useShare: wrong }).run()
    expectRepaired(repair, recoverer, bench)
    expect(bench.ends).toContainEqual({ at: liar, reason: 'failed' })
    expect(bench.refusedWith('failed')).toBe(true)
  })

  it('two M1s in one slot, one of them for a single helper: E2, provable from the certificate', () => {
    for (const target of [second, recoverer]) {
      const bench = new RepairBench(repair, {
        recoverer,
        tamper: (sent) => {
          if (!from(sent, liar, 'contribution') || sent.to !== target) return [sent.bytes]
          if (sent.message.kind !== 'contribution') return [sent.bytes]
          const contribution = decodeContribution(curve, sent.message.signed.body)
          if (contribution.from !== liar) return [sent.bytes]
          // The sum still holds: two points change places.
          const [a, b, c] = contribution.parts
          if (a === undefined || b === undefined || c === undefined) return [sent.bytes]
          const parts = [{ ...a, point: b.point }, { ...b, point: a.point }, c]
          const lie = signBody(signerOf(repair, liar), CONTRIBUTION_TAG, encodeContribution({ ...contribution, parts }))
          return [encodeSignedRepair('contribution', lie)]
        },
      }).run()
      expect(isShareOf(repair, recoverer, bench.repaired)).toBe(true)
      const provenFaults = bench.faults.filter(({ fault }) => fault.certainty === 'proven')
      expect(provenFaults.map(({ fault }) => fault.kind)).toContain('E2')
      for (const { fault } of provenFaults) {
        expect(fault.culprit).toBe(liar)
        expect(proven(repair, fault.evidence)).toMatchObject({ kind: 'E2', culprit: liar })
      }
    }
  })

  it('a helper that names an M1 nobody signed is in dispute with its maker, and neither is proven guilty', () => {
    const bench = new RepairBench(repair, {
      recoverer,
      tamper: (sent) =>
        from(sent, liar, 'sum') && sent.message.kind === 'sum'
          ? [
              encodeSum(
                sent.message.rid,
                sent.message.sum,
                sent.message.refs.map((ref) => (ref.from === second ? { ...ref, hash: bytesOf('other') } : ref)),
              ).use((bytes) => Uint8Array.from(bytes)),
            ]
          : [sent.bytes],
    }).run()
    expectRepaired(repair, recoverer, bench)
    expect(bench.disputes).toContainEqual([second, liar])
    expect(bench.faults.filter(({ fault }) => fault.certainty === 'proven')).toEqual([])
  })

  it('a helper that disputes everybody is left out', () => {
    const bench = new RepairBench(repair, {
      recoverer,
      tamper: (sent) =>
        sent.to === liar && sent.message.kind === 'part'
          ? [encodePart(sent.message.rid, plusOne(sent.message.part)).use((bytes) => Uint8Array.from(bytes))]
          : [sent.bytes],
    }).run()
    expectRepaired(repair, recoverer, bench)
    expect(bench.faults).toEqual([])
  })

  it('a silent helper is named as missing, and replaced when the operator says so', () => {
    const silent = (sent: Sent): readonly Uint8Array[] => (sent.from === liar ? [] : [sent.bytes])
    const bench = new RepairBench(repair, { recoverer, tamper: silent }).run(30_000)
    expect(bench.repaired).toBeUndefined()
    bench.operate({ type: 'replace', helper: liar })
    bench.run(600_000)
    expect(isShareOf(repair, recoverer, bench.repaired)).toBe(true)
  })
})
