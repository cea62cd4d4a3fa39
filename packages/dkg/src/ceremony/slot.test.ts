import { expect, test } from 'vitest'
import { participantIndex } from '../primitives/point.ts'
import type { ClusterId, KeyId, NodePublicKey, SharingId } from '../primitives/types.ts'
import { type CeremonySpec, ceremonyId, createConfig, type KeygenSpec, type ReshareSpec } from './config.ts'
import {
  abandonHere,
  approve,
  authorize,
  begin,
  certify,
  decideAgainst,
  decodeSlot,
  emptySlot,
  encodeSlot,
  isUndecided,
  mayEraseOn,
  type SlotState,
  type SlotStep,
  superseded,
  takeOver,
  winner,
} from './slot.ts'

const bytes = (fill: number): Uint8Array => new Uint8Array(32).fill(fill)
const clusterId = bytes(9) as ClusterId
const committee = (n: number, t: number) =>
  createConfig({
    clusterId,
    t,
    members: Array.from({ length: n }, (_, at) => ({
      index: participantIndex(at + 1),
      publicKey: bytes(at + 1) as NodePublicKey,
    })),
  })
const common = { suite: 1, clusterId, purpose: 'ecies-dec', keyName: 'ecies/1', generation: 1, notAfter: 99 } as const
const keygen = (attempt: number, notAfter = 99): KeygenSpec => ({
  ...common,
  kind: 'keygen',
  epoch: 0,
  attempt,
  newConfig: committee(4, 2),
  notAfter,
})
const reshare = (attempt: number, notAfter = 99): ReshareSpec => ({
  ...common,
  kind: 'reshare',
  epoch: 1,
  attempt,
  keyId: bytes(1) as KeyId,
  prevOutcome: bytes(2) as SharingId,
  oldConfig: committee(4, 2),
  newConfig: committee(5, 3),
  notAfter,
})
const sharing = bytes(7) as SharingId

/** The state after a step that must not be refused. */
function after(step: SlotStep): SlotState {
  if ('refusal' in step) throw new Error(`refused: ${step.refusal}`)
  return step.state
}
const approved = (...specs: readonly CeremonySpec[]): SlotState =>
  specs.reduce((state, spec) => after(approve(state, spec, 'plain')), emptySlot)
const signer = (fill: number) => ({
  holdsOldShare: true,
  knowsCertificate: false,
  sign: () => new Uint8Array(64).fill(fill),
})

test('one X per attempt: the same again is fine, another is refused and the first named', () => {
  const state = approved(keygen(0))
  expect(after(approve(state, keygen(0), 'plain'))).toEqual(state)
  expect(approve(state, keygen(0, 98), 'plain')).toEqual({
    refusal: 'other-approved',
    ceremony: ceremonyId(keygen(0)),
  })
})

test('the next attempt of a key generation waits until Q ABANDONs decided against the one approved here', () => {
  const state = approved(keygen(0))
  expect(approve(state, keygen(1), 'plain')).toMatchObject({ refusal: 'attempt-open' })
  const over = after(decideAgainst(state, keygen(0)))
  const next = after(approve(over, keygen(1), 'plain'))
  expect(begin(next, keygen(1), 'none')).toHaveProperty('state')
  expect(begin(next, keygen(0), 'none')).toEqual({ refusal: 'abandoned' })
})

test('what was abandoned here is never approved, and a rival of it may be', () => {
  const state = after(abandonHere(emptySlot, keygen(0)))
  expect(approve(state, keygen(0), 'plain')).toEqual({ refusal: 'abandoned' })
  expect(approve(state, keygen(0, 98), 'plain')).toHaveProperty('state')
})

test('an ABANDON of an X with its certificate is refused', () => {
  const state = after(certify(approved(keygen(0)), keygen(0), sharing))
  expect(abandonHere(state, keygen(0))).toEqual({ refusal: 'certified' })
})

test('a key generation that has its certificate leaves no other attempt', () => {
  const state = after(certify(emptySlot, keygen(0), sharing))
  expect(approve(state, keygen(1), 'plain')).toMatchObject({ refusal: 'certified' })
  expect(approve(state, keygen(0, 98), 'plain')).toMatchObject({ refusal: 'certified' })
})

test('AUTH is made once, with the same bytes for ever', () => {
  const state = after(authorize(approved(reshare(0)), reshare(0), signer(1)))
  const again = authorize(state, reshare(0), {
    ...signer(1),
    knowsCertificate: true,
    sign: () => {
      throw new Error('signed twice')
    },
  })
  expect(again).toMatchObject({ entry: { authorization: new Uint8Array(64).fill(1) } })
  expect(authorize(approved(), reshare(0), signer(1))).toEqual({ refusal: 'not-approved' })
})

test('AUTH of the next attempt gives the open one up: its signer holds the old share and has seen no certificate', () => {
  const both = approved(reshare(0), reshare(1))
  expect(authorize(both, reshare(1), { ...signer(1), holdsOldShare: false })).toEqual({ refusal: 'no-old-share' })
  const late = after(certify(both, reshare(0), sharing))
  expect(authorize(late, reshare(1), signer(1))).toMatchObject({ refusal: 'certified' })
  expect(authorize(both, reshare(1), { ...signer(1), knowsCertificate: true })).toEqual({ refusal: 'certified' })
  const given = after(authorize(both, reshare(1), signer(1)))
  expect(superseded(given, reshare(0))).toBe(true)
  expect(begin(given, reshare(0), 'full')).toEqual({ refusal: 'superseded' })
  expect(authorize(given, reshare(0), signer(1))).toEqual({ refusal: 'superseded' })
  expect(mayEraseOn(after(certify(given, reshare(0), sharing)), reshare(0), 'full')).toBe(false)
})

test('over an attempt that is decided against AUTH needs no old share', () => {
  const over = after(decideAgainst(approved(reshare(0)), reshare(0)))
  const next = after(approve(over, reshare(1), 'plain'))
  expect(authorize(next, reshare(1), { ...signer(1), holdsOldShare: false })).toHaveProperty('state')
})

test('a node acts on full AUTH, and on a degraded one only where its operator agreed to that', () => {
  const state = approved(reshare(0))
  expect(begin(state, reshare(0), undefined)).toEqual({ refusal: 'not-authorized' })
  expect(begin(state, reshare(0), 'degraded')).toEqual({ refusal: 'not-authorized' })
  expect(mayEraseOn(state, reshare(0), 'degraded')).toBe(false)
  const agreed = after(approve(state, reshare(0), 'degraded'))
  expect(begin(agreed, reshare(0), 'degraded')).toHaveProperty('state')
  expect(mayEraseOn(agreed, reshare(0), 'degraded')).toBe(true)
  expect(after(approve(agreed, reshare(0), 'plain'))).toEqual(agreed)
})

test('a new member without the old share goes to the higher attempt on its full AUTH, and stays there', () => {
  const state = after(begin(approved(reshare(0)), reshare(0), 'full'))
  const both = after(approve(state, reshare(1), 'plain'))
  expect(begin(both, reshare(1), 'degraded')).toEqual({ refusal: 'not-authorized' })
  const moved = after(begin(both, reshare(1), 'full'))
  expect(begin(moved, reshare(0), 'full')).toEqual({ refusal: 'superseded' })
})

test('of several certified attempts the highest counts', () => {
  const first = after(certify(emptySlot, reshare(1), sharing))
  const both = after(certify(first, reshare(0), bytes(8) as SharingId))
  expect(winner(both)).toMatchObject({ attempt: 1, certified: sharing })
  expect(approve(both, reshare(0, 98), 'plain')).toMatchObject({ refusal: 'certified' })
  expect(winner(emptySlot)).toBeUndefined()
})

test('a slot comes back from its bytes as it was', () => {
  const given = after(authorize(approved(reshare(0), reshare(1)), reshare(1), signer(3)))
  const abandoned = after(abandonHere(after(decideAgainst(given, reshare(0))), reshare(0, 98)))
  const state = after(certify(abandoned, reshare(2), sharing))
  expect(decodeSlot(encodeSlot(state))).toEqual(state)
  expect(() => decodeSlot(encodeSlot(state).subarray(1))).toThrow('another version')
})

const told = new Uint8Array(64).fill(8)
const own = signer(5)

test('an AUTH that was forgotten binds as it did: no other X of its attempt, none of a lower one, and the same bytes', () => {
  const forgotten = reshare(1)
  const state = after(takeOver(emptySlot, forgotten, told))
  expect(approve(state, reshare(1, 100), 'plain')).toMatchObject({ refusal: 'other-approved' })
  expect(approve(state, reshare(0), 'plain')).toMatchObject({ refusal: 'superseded' })
  expect(begin(state, forgotten, 'full')).toMatchObject({ refusal: 'not-approved' })
  const agreed = after(approve(state, forgotten, 'plain'))
  expect(authorize(agreed, forgotten, own)).toMatchObject({ entry: { authorization: told } })
  expect(isUndecided(state, ceremonyId(forgotten))).toBe(true)
  expect(approve(state, reshare(2), 'plain')).not.toHaveProperty('refusal')
})

test('an X that others agreed to keeps out what rivals it, also what was approved before it was told', () => {
  const theirs = reshare(0)
  const state = after(takeOver(emptySlot, theirs, undefined))
  expect(approve(state, reshare(0, 100), 'plain')).toMatchObject({ refusal: 'other-approved' })
  expect(approve(state, theirs, 'plain')).not.toHaveProperty('refusal')
  expect(approve(state, reshare(1), 'plain')).not.toHaveProperty('refusal')
  expect(isUndecided(state, ceremonyId(theirs))).toBe(true)
  const late = after(takeOver(approved(reshare(0, 100)), theirs, undefined))
  expect(authorize(late, reshare(0, 100), own)).toMatchObject({ refusal: 'other-approved' })
  expect(begin(late, reshare(0, 100), 'full')).toMatchObject({ refusal: 'other-approved' })
})

test('the AUTH of this node itself tells which of two X it agreed to', () => {
  const state = after(takeOver(after(takeOver(emptySlot, reshare(0), told)), reshare(0, 100), undefined))
  const agreed = after(approve(state, reshare(0), 'plain'))
  expect(begin(agreed, reshare(0), 'full')).not.toHaveProperty('refusal')
  expect(approve(agreed, reshare(0, 100), 'plain')).toMatchObject({ refusal: 'other-approved' })
})

test('in a key generation an X that others agreed to keeps out every other attempt until a quorum decided against it', () => {
  const theirs = keygen(1)
  const doubtful = after(takeOver(emptySlot, theirs, undefined))
  const open = { refusal: 'attempt-open', ceremony: ceremonyId(theirs) }
  for (const other of [keygen(2), keygen(0)]) {
    expect(approve(doubtful, other, 'plain')).toEqual(open)
    expect(begin(after(takeOver(approved(other), theirs, undefined)), other, undefined)).toEqual(open)
    const over = after(decideAgainst(doubtful, theirs))
    expect(begin(after(approve(over, other, 'plain')), other, undefined)).toHaveProperty('state')
  }
  expect(begin(after(approve(doubtful, theirs, 'plain')), theirs, undefined)).toHaveProperty('state')
})

test('only a holder of the old share gives up an earlier attempt that it may have agreed to', () => {
  const doubtful = after(takeOver(emptySlot, reshare(0), undefined))
  const next = after(approve(doubtful, reshare(1), 'plain'))
  expect(authorize(next, reshare(1), { ...own, holdsOldShare: false })).toEqual({ refusal: 'no-old-share' })
  expect(authorize(next, reshare(1), own)).toHaveProperty('state')
})

test('what this node knows of itself is not changed by what others tell', () => {
  const state = approved(reshare(0))
  expect(after(takeOver(state, reshare(0), undefined))).toBe(state)
  const signed = after(authorize(state, reshare(0), own))
  expect(after(takeOver(signed, reshare(0), told))).toBe(signed)
})

test('what was taken over survives the record', () => {
  const state = after(takeOver(after(takeOver(emptySlot, reshare(0), undefined)), reshare(1), told))
  expect(decodeSlot(encodeSlot(state))).toEqual(state)
})
