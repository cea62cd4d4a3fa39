import { KmsError, participantIndex, type PointBytes, type RequestItem, Secret, type VerifiedKey } from '@tkms/dkg'
import { selectCurve } from '@tkms/curve-native'
import { expect, it } from 'vitest'
import type { SignedAnswer } from './open-answer.ts'
import { settleItems } from './settle-items.ts'

const { curve } = selectCurve()
const indices = [1, 3, 5].map(participantIndex)
const key = {
  t: 3,
  sharingId: new Uint8Array(32),
  config: { members: indices.map((index) => ({ index })) },
} as unknown as VerifiedKey
/** D_i of the polynomial s + 2x + 3x^2 with s = 7, at K = G: they combine to 7 * G. */
const shareAt = (x: number): Secret => new Secret(new Uint8Array(32).fill(7 + 2 * x + 3 * x * x, 31))
const answers = new Map(
  indices.map((index): [typeof index, SignedAnswer] => {
    const D = curve.mulBaseSecret(shareAt(index))
    const items: SignedAnswer['items'] = [{ kind: 'partial', D, proof: new Uint8Array(64) }]
    return [index, { index, items, proves: () => true, blame: () => expect.fail('nobody is to blame') }]
  }),
)
const item = {
  version: 1,
  K: curve.generator,
  chainId: 0,
  handle: new Uint8Array(32),
  grant: new Uint8Array(0),
} as RequestItem

it.each([
  ['opened', () => new Uint8Array(1)],
  [
    'malformed',
    () => {
      throw new KmsError('commitment-mismatch', 'not this one')
    },
  ],
] as const)('an item that is %s leaves no point behind', async (kind, then) => {
  const seen: { point?: PointBytes; copy?: PointBytes } = {}
  const open = (point: PointBytes): Uint8Array => {
    Object.assign(seen, { point, copy: point.slice() })
    return then()
  }
  const settlement = settleItems({ curve, key, items: [{ item, open }], proven: false })
  expect(await settlement.judge(answers, () => false)).toEqual([])
  expect(settlement.results()).toMatchObject([{ kind }])
  expect(seen.copy).toEqual(curve.mulBaseSecret(shareAt(0)))
  expect([...(seen.point ?? [])]).toEqual(Array.from({ length: 33 }, () => 0))
})
