import { nobleCurve, participantIndex } from '@tkms/dkg'
import { beforeEach, expect, test } from 'vitest'
import type { CeremonyFrame } from '../net/ceremony-frame.ts'
import { createKeySync, type KeySync } from './key-sync.ts'

const [bob, carol] = [2, 3].map(participantIndex) as [
  ReturnType<typeof participantIndex>,
  ReturnType<typeof participantIndex>,
]
const asking: CeremonyFrame = { type: 'keyHeads', heads: [], reply: true }

let nowMs: number
let heard: number[]
let sent: number[]
let logged: string[]
let sync: KeySync
beforeEach(() => {
  nowMs = 1_000
  heard = []
  sent = []
  logged = []
  const log = (_fields: unknown, event: string): void => void logged.push(event)
  sync = createKeySync({
    curve: nobleCurve,
    keeper: {
      find: () => ({ key: { ceremony: new Uint8Array(32), certificate: new Uint8Array(100) } }) as never,
      heard: (peer) => void heard.push(peer),
      learn: async () => ({ keys: [], refused: [] }),
      list: () => [],
      orders: () => [],
    },
    notices: { own: () => [], take: () => false, missing: () => [] },
    send: (to) => void sent.push(to),
    broadcast: () => undefined,
    onAnswered: () => undefined,
    clock: { monotonicMs: () => nowMs },
    log: { info: log, warn: log, error: log },
  })
})
const flood = (times: number): void => {
  for (let at = 0; at < times; at++) sync.onFrame(bob, asking)
}

test('a peer that floods with key heads is heard and answered at a rate, and nobody else suffers', () => {
  flood(1_000)
  expect([heard.length, sent.length]).toEqual([128, 128])
  expect(logged).toEqual(['key-heads-too-many'])
  sync.onFrame(carol, asking)
  expect(sent.at(-1)).toBe(carol)
  nowMs += 1_000
  flood(1_000)
  expect(heard.filter((peer) => peer === bob)).toHaveLength(128 + 4)
  expect(logged).toEqual(['key-heads-too-many'])
  nowMs += 60_000
  flood(100)
  expect(heard.filter((peer) => peer === bob)).toHaveLength(128 + 4 + 100)
  flood(100)
  expect(logged).toEqual(['key-heads-too-many', 'key-heads-too-many'])
})

test('a peer that floods with requests for certificates is answered at a rate, and nobody else suffers', () => {
  const ask = (times: number): void => {
    for (let at = 0; at < times; at++)
      sync.onFrame(bob, { type: 'fetchCertificate', sharingId: new Uint8Array(32).fill(at) })
  }
  ask(5_000)
  expect(sent).toHaveLength(1024)
  expect(logged).toEqual(['certificate-requests-too-many'])
  sync.onFrame(carol, { type: 'fetchCertificate', sharingId: new Uint8Array(32) })
  expect(sent.at(-1)).toBe(carol)
  // The heads of the same peer have a rate of their own.
  flood(1)
  expect(heard).toEqual([bob])
  nowMs += 1_000
  ask(5_000)
  expect(sent.filter((peer) => peer === bob)).toHaveLength(1024 + 1 + 64)
})
