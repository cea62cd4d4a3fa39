import { selectCurve } from '@tkms/curve-native'
import {
  configHash,
  type KeyId,
  Secret,
  type SharingId,
  type VerifiedKey,
  verifyCertificate,
  verifyEd25519,
} from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { generateKey, type TestCommittee, type TestMember } from './committee.fixture.ts'
import { createKeyTable, type KeyStanding, type KeyTable } from './key-table.ts'
import { bytes32 } from './pipeline.fixture.ts'

const { curve } = selectCurve()
const committee = generateKey()
const [first, second] = committee.members
if (first === undefined || second === undefined) throw new Error('the ceremony did not finish')
const verified = ({ config }: TestCommittee, { certificate }: TestMember): VerifiedKey =>
  verifyCertificate(curve, verifyEd25519, certificate, { configHash: configHash(config) })
const key = verified(committee, first)
const { keyId, sharingId, purpose } = key
const tableOf = (member: TestMember): KeyTable => createKeyTable({ curve, self: member.publicKey })
const copy = (secret: Secret): Secret => secret.use((bytes) => Secret.copyOf(bytes))
const standing = (change: Partial<KeyStanding> = {}): KeyStanding => ({
  keyId,
  purpose,
  sharings: [{ sharingId, answer: 'serve' }],
  ...change,
})
const serving = (): KeyTable => {
  const table = tableOf(first)
  table.hold(key, copy(first.share))
  table.arrange(standing())
  return table
}
const ask = (table: KeyTable, named?: SharingId): string => table.lender('ecies-dec').find(keyId, named).kind

describe('key table', () => {
  it('lends the share under the certified verification share', () => {
    const table = serving()
    const found = table.lender('ecies-dec').find(keyId, undefined)
    if (found.kind !== 'found') throw new Error(found.kind)
    expect(found.served).toMatchObject({ index: 1, key: { sharingId } })
    const loan = found.borrow()
    expect(loan.use((share) => curve.mulBaseSecret(share))).toEqual(found.served.verificationShare)
    expect(ask(table, sharingId)).toBe('found')
    expect(table.held(sharingId)).toEqual(found.served)
    expect(table.copyShare(sharingId)?.use((bytes) => [...bytes])).toEqual(first.share.use((bytes) => [...bytes]))
  })

  it('keeps the one copy of a share in memory that the compute threads read, and wipes it there', async () => {
    const table = tableOf(first)
    const share = copy(first.share)
    table.hold(key, share)
    table.arrange(standing())
    expect(share.destroyed).toBe(true)
    const found = table.lender('ecies-dec').find(keyId, undefined)
    if (found.kind !== 'found') throw new Error(found.kind)
    const loan = found.borrow()
    const seenByThread = loan.use((held) => held.use(({ buffer }) => new Uint8Array(buffer)))
    loan.end()
    expect(seenByThread.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect([...seenByThread]).toEqual(first.share.use((bytes) => [...bytes]))
    await table.release(sharingId)
    expect([...seenByThread]).toEqual(Array.from({ length: 32 }, () => 0))
  })

  it('takes no share that is not the one of the certificate, and none of a committee without this node', () => {
    const wrong = copy(second.share)
    expect(() => tableOf(first).hold(key, wrong)).toThrow(expect.objectContaining({ code: 'self-check-failed' }))
    expect(wrong.destroyed).toBe(true)
    const [stranger = first] = generateKey().members
    const share = copy(first.share)
    expect(() => tableOf(stranger).hold(key, share)).toThrow(expect.objectContaining({ code: 'bad-certificate' }))
    expect(share.destroyed).toBe(true)
  })

  it('keeps the share it has, and wipes the second copy', () => {
    const table = serving()
    const again = copy(first.share)
    table.hold(key, again)
    expect([again.destroyed, ask(table)]).toEqual([true, 'found'])
  })

  it('says why it lends nothing', () => {
    const table = serving()
    const past = bytes32(7) as SharingId
    expect(table.lender('ckd-dprf').find(keyId, undefined).kind).toBe('wrong-purpose')
    expect(table.lender('ckd-dprf').find(keyId, sharingId).kind).toBe('wrong-purpose')
    expect(table.lender('ecies-dec').find(bytes32(7) as KeyId, undefined).kind).toBe('unknown-key')
    expect(ask(table, past)).toBe('wrong-sharing')
    table.arrange(
      standing({
        sharings: [
          { sharingId, answer: 'serve' },
          { sharingId: past, answer: 'superseded' },
        ],
      }),
    )
    expect(ask(table, past)).toBe('superseded')
    table.arrange(
      standing({
        sharings: [
          { sharingId: past, answer: 'no-share' },
          { sharingId, answer: 'serve' },
        ],
      }),
    )
    expect([ask(table), ask(table, past), ask(table, sharingId)]).toEqual(['no-share', 'no-share', 'found'])
    for (const refusal of ['not-ready', 'destroyed'] as const) {
      table.arrange(standing({ refusal }))
      expect([ask(table), ask(table, sharingId), ask(table, past)]).toEqual([refusal, refusal, refusal])
    }
  })

  it('row 45: an ECIES handler does not reach a derivation key', () => {
    const derivation = generateKey('ckd-dprf', 'ckd/1')
    const [member] = derivation.members
    if (member === undefined) throw new Error('the ceremony did not finish')
    const other = verified(derivation, member)
    const table = tableOf(member)
    table.hold(other, member.share)
    table.arrange({ ...other, sharings: [{ sharingId: other.sharingId, answer: 'serve' }] })
    expect(table.lender('ecies-dec').find(other.keyId, undefined)).toEqual({ kind: 'wrong-purpose' })
    expect(table.lender('ckd-dprf').find(other.keyId, undefined).kind).toBe('found')
  })

  it('releases a share when the last loan ends, and lends it to nobody meanwhile', async () => {
    const table = serving()
    const found = table.lender('ecies-dec').find(keyId, undefined)
    if (found.kind !== 'found') throw new Error(found.kind)
    const [one, two] = [found.borrow(), found.borrow()]
    const released = Promise.all([table.release(sharingId), table.release(sharingId)]).then(() => 'released')
    one.end()
    one.end()
    expect(ask(table)).toBe('no-share')
    expect(await Promise.race([released, new Promise((resolve) => setImmediate(resolve, 'on loan'))])).toBe('on loan')
    expect(two.use((share) => share.length)).toBe(32)
    two.end()
    expect(await released).toBe('released')
    expect(() => two.use((share) => share.use(() => 'bytes'))).toThrow(
      expect.objectContaining({ code: 'secret-destroyed' }),
    )
    await table.release(sharingId)
  })

  it('wipes its shares', () => {
    const table = tableOf(first)
    const share = copy(first.share)
    table.hold(key, share)
    table.destroy()
    expect([share.destroyed, ask(table)]).toEqual([true, 'unknown-key'])
  })
})
