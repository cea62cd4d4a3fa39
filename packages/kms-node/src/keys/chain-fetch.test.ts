import { nobleCurve, participantIndex } from '@tkms/dkg'
import { expect, test } from 'vitest'
import type { KeyHead } from '../net/ceremony-frame.ts'
import { MAX_KEY_HEADS } from '../net/frame-caps.ts'
import { createChainFetch } from './chain-fetch.ts'
import { createWitnesses } from './witnesses.ts'

const liar = participantIndex(3)
const bytes = (at: number): Uint8Array => {
  const out = new Uint8Array(32)
  new DataView(out.buffer).setUint32(0, at)
  return out
}
const invented = (at: number): KeyHead => ({ keyId: bytes(at), sharingId: bytes(at), epoch: 7, attempt: 0 })

test('a peer that claims sharings without end has a bounded number looked into, and every claim is settled', () => {
  let asked = 0
  const settled: KeyHead[] = []
  const fetches = createChainFetch({
    curve: nobleCurve,
    keeper: { find: () => undefined, learn: async () => ({ keys: [], refused: [] }) },
    ask: () => {
      asked++
    },
    onSettled: (_peer, head, led) => {
      expect(led).toBe(false)
      settled.push(head)
    },
  })
  for (let at = 0; at < 5_000; at++) fetches.start(liar, invented(at))
  expect(settled).toHaveLength(5_000 - 512)
  asked = 0
  fetches.again(liar)
  expect(asked).toBe(512)
})

test('the words of one peer about invented keys push out its own older words, not those of others', () => {
  const witnesses = createWitnesses()
  const honest = [participantIndex(1), participantIndex(2)]
  const head = invented(1_000_000)
  for (const peer of honest) witnesses.heard(peer, [head])
  witnesses.heard(liar, [head])
  const members = [...honest, liar].map((index) => ({ index }))
  const sharing = (t: number) => ({
    key: { keyId: head.keyId, sharingId: head.sharingId, epoch: 7, t, config: { members } },
    hasShare: false,
  })
  const established = (t: number): boolean => witnesses.isEstablished(sharing(t) as never)
  expect(established(3)).toBe(true)
  witnesses.heard(
    liar,
    Array.from({ length: MAX_KEY_HEADS }, (_, at) => invented(at)),
  )
  expect(established(3)).toBe(false)
  expect(established(2)).toBe(true)
})
