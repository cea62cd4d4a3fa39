import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import { decodeScalar, encodeScalar, modOrder } from '../../packages/dkg/src/primitives/scalar.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import { splitContribution } from '../../packages/dkg/src/repair/contribution.ts'
import {
  decodeRepairMessage,
  decodeRequest,
  encodeRequest,
  encodeSignedRepair,
  REQUEST_TAG,
} from '../../packages/dkg/src/repair/messages.ts'
import { createRepairRecoverer } from '../../packages/dkg/src/repair/recoverer.ts'
import { signBody } from '../../packages/dkg/src/repair/signed-body.ts'
import { REPAIR_TIMINGS } from '../../packages/dkg/src/repair/types.ts'
import { lagrangeCoefficients } from '../../packages/dkg/src/sharing/lagrange.ts'
import { RepairBench } from '../support/repair-bench.ts'
import type { Sent } from '../support/repair-record.ts'
import { holds, isShareOf, repairCase } from '../support/repair-case.ts'
import { curve, expectRepaired, nth, signerOf } from '../support/repair-checks.ts'
import { bytesOf } from '../support/simulated-committee.ts'

describe('repair of one lost share', () => {
  it('gives r its share in any committee, from any t helpers', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 3, max: 12 }).chain((n) =>
          fc.record({
            n: fc.constant(n),
            t: fc.integer({ min: 2, max: n - 1 }),
            lost: fc.integer({ min: 0, max: n - 1 }),
            seed: fc.integer({ min: 1, max: 1_000_000 }),
            far: fc.uniqueArray(fc.integer({ min: 0, max: n - 1 })),
          }),
        ),
        ({ n, t, lost, seed, far }) => {
          const repair = repairCase(n, t, seed)
          const recoverer = nth(repair, lost)
          const reachable = repair.identities.filter((_, at) => !far.includes(at)).map(({ index }) => index)
          const bench = new RepairBench(repair, { recoverer, reachable }).run()
          expectRepaired(repair, recoverer, bench)
          expect(bench.faults).toEqual([])
          expect(bench.disputes).toEqual([])
          expect(bench.ends.filter(({ reason }) => reason === 'released')).toHaveLength(t)
        },
      ),
      { numRuns: 40 },
    )
  })

  it('works with real signatures, and every M1 verifies for anybody', () => {
    const repair = repairCase(4, 2, 3, 'ed25519')
    const recoverer = nth(repair, 2)
    expectRepaired(repair, recoverer, new RepairBench(repair, { recoverer }).run())
  })

  it('waits for the operators of the helpers, and says so', () => {
    const repair = repairCase(4, 2, 5)
    const recoverer = nth(repair, 0)
    const bench = new RepairBench(repair, { recoverer, approves: () => false }).run(60_000)
    expect(bench.repaired).toBeUndefined()
    expect(bench.refused).toContainEqual({ helper: nth(repair, 1), reason: 'waiting' })
    expect(bench.sent.filter(({ message }) => message.kind === 'contribution')).toEqual([])
    for (const { bytes } of bench.sent)
      for (const { index } of repair.identities) expect(holds(bytes, repair.shareOf(index))).toBe(false)
  })
})

describe('what operators may do', () => {
  const repair = repairCase(4, 2, 7)
  const recoverer = nth(repair, 0)

  it('a denied request is replaced by one without that helper; with too few left the repair is stuck until `retry`', () => {
    const denying = nth(repair, 1)
    const oneSaysNo = new RepairBench(repair, { recoverer, denies: (index) => index === denying }).run()
    expectRepaired(repair, recoverer, oneSaysNo)
    expect(oneSaysNo.ends).toContainEqual({ at: denying, reason: 'denied' })
    let mood = true
    const moody = new RepairBench(repair, { recoverer, denies: (index) => mood && index !== nth(repair, 3) }).run()
    expect(moody.repaired).toBeUndefined()
    expect(moody.states().map(({ state }) => state.phase.name)).toContain('stuck')
    mood = false
    moody.operate({ type: 'retry' })
    expectRepaired(repair, recoverer, moody.run())
  })

  it('a repair given up leaves no secret with anybody', () => {
    const bench = new RepairBench(repair, {
      recoverer,
      tamper: (sent) => (sent.message.kind === 'sum' ? [] : [sent.bytes]),
    }).run(10_000)
    bench.operate({ type: 'expire' })
    bench.run(600_000)
    expect(bench.repaired).toBeUndefined()
    expect(bench.states().map(({ state }) => state.phase.name)).toEqual(['done', 'done', 'done'])
  })

  it('a node that is no member has no share to repair', () => {
    const { verify } = repair.committee
    const { open } = createRepairRecoverer({ curve, verify, sign: signerOf(repair, recoverer) })
    const self = 65_535 as ParticipantIndex
    expect(() => open({ sharing: repair.sharing, self, timings: REPAIR_TIMINGS })).toThrow(
      expect.objectContaining({ code: 'bad-parameters' }),
    )
  })
})

describe('row 33: what helpers see', () => {
  const repair = repairCase(7, 4, 11)
  const recoverer = nth(repair, 3)
  const bench = new RepairBench(repair, { recoverer }).run()
  const helpers = [0, 1, 2, 4].map((at) => nth(repair, at))
  const factors = lagrangeCoefficients(helpers, recoverer)
  const weighted = new Map(
    helpers.map((index, at) => [
      index,
      encodeScalar(modOrder((factors[at] ?? 0n) * decodeScalar(repair.shareOf(index)))),
    ]),
  )

  it('no message holds a share, s_r, or any w_i; d_ik goes to k alone and sigma to r alone', () => {
    expectRepaired(repair, recoverer, bench)
    for (const { to, bytes, message } of bench.sent) {
      for (const { index } of repair.identities) expect(holds(bytes, repair.shareOf(index))).toBe(false)
      for (const w of weighted.values()) expect(holds(bytes, w)).toBe(false)
      if (message.kind === 'sum') expect(to).toBe(recoverer)
      if (message.kind === 'part') expect(helpers).toContain(to)
    }
    const parts = bench.sent.filter(({ message }) => message.kind === 'part')
    const seen = new Map<string, Set<number>>()
    for (const { to, bytes } of parts) {
      const key = bytesKey(bytes)
      seen.set(key, (seen.get(key) ?? new Set()).add(to))
    }
    expect(seen.size).toBe(4 * 3)
    for (const receivers of seen.values()) expect(receivers.size).toBe(1)
  })

  it('no snapshot holds a share or a w_i, and what is left behind `done` holds no part either', () => {
    const secrets = [...repair.identities.map(({ index }) => repair.shareOf(index)), ...weighted.values()]
    for (const { bytes } of bench.snapshots) for (const secret of secrets) expect(holds(bytes, secret)).toBe(false)
    const parts = bench.sent.flatMap(({ bytes, message }) => (message.kind === 'part' ? [bytes.slice(-32)] : []))
    const last = new Map(bench.snapshots.map(({ at, bytes }) => [at, bytes]))
    expect(last.size).toBe(5)
    for (const bytes of last.values()) for (const part of parts) expect(holds(bytes, part)).toBe(false)
    // The control: while a repair runs, the parts are in the sealed snapshots.
    expect(bench.snapshots.some(({ bytes }) => parts.some((part) => holds(bytes, part)))).toBe(true)
  })

  it('the parts for t - 1 helpers are the same whatever the share is', () => {
    const request = {
      keyId: repair.sharing.keyId,
      sharingId: repair.sharing.sharingId,
      recoverer,
      helpers,
      nonce: bytesOf('nonce'),
    }
    const split = (share: number): Uint8Array[] => {
      const parts = splitContribution(
        curve,
        request,
        nth(repair, 0),
        new Secret(bytesOf('share', share)),
        new Secret(bytesOf('seed')),
      )
      return [...parts.values()].map((part) => part.use((bytes) => Uint8Array.from(bytes)))
    }
    const [one, other] = [split(1), split(2)]
    expect(one.slice(0, 3)).toEqual(other.slice(0, 3))
    expect(one[3]).not.toEqual(other[3])
  })
})

describe('row 33: r lies about itself', () => {
  const repair = repairCase(5, 3, 31)
  const [recoverer, other] = [nth(repair, 4), nth(repair, 3)]
  const stranger = 65_535

  const withRequest = (change: (body: Uint8Array) => Uint8Array, sign = signerOf(repair, recoverer)): RepairBench =>
    new RepairBench(repair, {
      recoverer,
      tamper: (sent) => {
        const { message } = sent
        if (message.kind !== 'request') return [sent.bytes]
        return [encodeSignedRepair('request', signBody(sign, REQUEST_TAG, change(message.signed.body)))]
      },
    }).run(30_000)
  const changed = (change: Partial<ReturnType<typeof decodeRequest>>) => (body: Uint8Array) =>
    encodeRequest({ ...decodeRequest(body), ...change })

  const lies: readonly (readonly [string, () => RepairBench])[] = [
    ['for another member', () => withRequest(changed({ recoverer: other }))],
    ['for a non-member', () => withRequest(changed({ recoverer: stranger as ParticipantIndex }))],
    [
      'for another sharing',
      () => withRequest(changed({ sharingId: bytesOf('old') as typeof repair.sharing.sharingId })),
    ],
    ['for another key', () => withRequest(changed({ keyId: bytesOf('other') as typeof repair.sharing.keyId }))],
    ['with t - 1 helpers', () => withRequest(changed({ helpers: [nth(repair, 0), nth(repair, 1)] }))],
    ['with r among its helpers', () => withRequest(changed({ helpers: [nth(repair, 0), nth(repair, 1), recoverer] }))],
    [
      'with a stranger among its helpers',
      () => withRequest(changed({ helpers: [nth(repair, 0), nth(repair, 1), stranger as ParticipantIndex] })),
    ],
    ['signed by another member', () => withRequest((body) => body, signerOf(repair, other))],
  ]
  for (const [what, run] of lies)
    it(`a request ${what} is refused, and nobody contributes`, () => {
      const bench = run()
      expect(bench.repaired).toBeUndefined()
      expect(bench.sent.filter(({ message }) => message.kind === 'contribution' || message.kind === 'part')).toEqual([])
    })

  it('a request played back after the repair makes no second M1', () => {
    const bench = new RepairBench(repair, { recoverer }).run()
    const requests = bench.sent.filter(({ message }) => message.kind === 'request')
    bench.replay(requests)
    expectRepaired(repair, recoverer, bench)
    expect(bench.refusedWith('spent')).toBe(true)
  })
})

describe('rows 17 and 33: a process dies at any moment of a repair', () => {
  const repair = repairCase(4, 2, 41)
  const recoverer = nth(repair, 1)
  const calm = new RepairBench(repair, { recoverer }).run()

  it('before and behind every persist, send and store: r gets its share, no slot has two messages', () => {
    expect(calm.actions).toBeGreaterThan(20)
    for (let at = 1; at <= calm.actions; at++)
      for (const behind of [false, true]) {
        const bench = new RepairBench(repair, { recoverer, crash: { at, behind } }).run()
        expectRepaired(repair, recoverer, bench)
        expect(bench.faults).toEqual([])
      }
  })

  it('a helper whose disk was rolled back behind its M1 stops instead of signing another', () => {
    const helper = nth(repair, 0)
    const bench = new RepairBench(repair, { recoverer, rollBack: { helper } }).run()
    expect(isShareOf(repair, recoverer, bench.repaired)).toBe(true)
    expect(bench.ends).toContainEqual({ at: helper, reason: 'rolled-back' })
    for (const bodies of bench.contributions.values()) expect(bodies.size).toBe(1)
  })
})

describe('row 24: bytes that are no message of a repair', () => {
  it('change nothing and throw nothing', () => {
    const repair = repairCase(4, 2, 51)
    const recoverer = nth(repair, 0)
    const genuine = new RepairBench(repair, { recoverer }).run().sent.map(({ bytes }) => bytes)
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: genuine.length - 1 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (which, at, flip) => {
          const bytes = Uint8Array.from(genuine[which] ?? [])
          bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ flip
          const noise = (sent: Sent): readonly Uint8Array[] =>
            decodes(bytes) && sent.message.kind !== 'refusal' ? [bytes, sent.bytes] : [sent.bytes]
          const bench = new RepairBench(repair, { recoverer, tamper: noise }).run()
          expect(isShareOf(repair, recoverer, bench.repaired)).toBe(true)
          expect(bench.faults.filter(({ fault }) => fault.certainty === 'proven')).toEqual([])
        },
      ),
      { numRuns: 60 },
    )
  })
})

function decodes(bytes: Uint8Array): boolean {
  try {
    return decodeRepairMessage(bytes) !== undefined
  } catch {
    return false
  }
}
