import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { selectCurve } from '@tkms/curve-native'
import { bytesToHex } from '@noble/hashes/utils.js'
import { configHash, type KeyId, Secret, type SharingId, verifyEd25519 } from '@tkms/dkg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createPassphraseSealer } from '../seal/passphrase-sealer.ts'
import { createRecordStore, type OpenRecordStore } from '../store/record-store.ts'
import { createShareStore } from '../store/share-store.ts'
import { generateKey, type TestMember } from './committee.fixture.ts'
import { createKeyTable, type KeyTable } from './key-table.ts'
import { bytes32, rng } from './pipeline.fixture.ts'

const { curve } = selectCurve()
const committee = generateKey()
const [first, second] = committee.members
if (first === undefined || second === undefined) throw new Error('the ceremony did not finish')
const tableOf = (member: TestMember, hash = configHash(committee.config)): KeyTable =>
  createKeyTable({ curve, verify: verifyEd25519, self: member.publicKey, configHash: hash })
const stored = (member: TestMember, share: Secret = member.share): { certificate: Uint8Array; share: Secret } => ({
  certificate: member.certificate,
  share: share.use((bytes) => Secret.copyOf(bytes)),
})

let directory: string
let records: OpenRecordStore
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-shares-'))
})
beforeEach(async () => {
  const sealer = createPassphraseSealer({
    passphrase: Secret.copyOf(Buffer.from('a passphrase')),
    rng,
    params: { logN: 10, r: 8, p: 1 },
  })
  await records?.close()
  records = await createRecordStore({ directory: join(directory, bytesToHex(rng.bytes(4))), sealer, rng })
})
afterAll(async () => {
  await records.close()
  await rm(directory, { recursive: true })
})

describe('key table', () => {
  it('never puts none in the place of a share', async () => {
    const shares = createShareStore(records)
    await shares.put(stored(first))
    await shares.put({ certificate: first.certificate, share: undefined })
    expect((await shares.list()).map(({ share }) => share?.length)).toEqual([32])
  })

  it('loads what was stored, one record per sharing, and lends the share', async () => {
    const shares = createShareStore(records)
    await shares.put(stored(first))
    await shares.put(stored(first))
    expect(await records.list('share')).toHaveLength(1)
    const table = tableOf(first)
    const report = await table.load(shares)
    expect(report).toMatchObject({ loaded: [{ index: 1, hasShare: true }], refused: [] })
    const [served] = table.list()
    if (served === undefined) throw new Error('nothing served')
    expect(await records.list('share')).toEqual([bytesToHex(served.key.sharingId)])
    const found = table.lender('ecies-dec').find(served.key.keyId, undefined)
    if (found.kind !== 'found') throw new Error(found.kind)
    expect(found.use((share) => curve.mulBaseSecret(share))).toEqual(served.verificationShare)
    expect(table.lender('ecies-dec').find(served.key.keyId, served.key.sharingId).kind).toBe('found')
    expect(table.get(served.key.keyId)).toEqual(served)
  })

  it('refuses a share that is not the one of the certificate', async () => {
    const shares = createShareStore(records)
    await shares.put(stored(first, second.share))
    expect(await tableOf(first).load(shares)).toEqual({ loaded: [], refused: [{ code: 'self-check-failed' }] })
    expect(() => tableOf(first).add(stored(first, second.share))).toThrow(
      expect.objectContaining({ code: 'self-check-failed' }),
    )
  })

  it('refuses a certificate of another committee, a changed one, and one that does not name this node', async () => {
    const code = { code: 'bad-certificate' }
    expect(() => tableOf(first, bytes32(1)).add(stored(first))).toThrow(expect.objectContaining(code))
    const changed = Uint8Array.from(first.certificate)
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1
    expect(() => tableOf(first).add({ ...stored(first), certificate: changed })).toThrow(expect.objectContaining(code))
    const stranger = generateKey().members[0] ?? first
    expect(() => tableOf(stranger).add(stored(first))).toThrow(expect.objectContaining(code))
  })

  it('lends nothing for another purpose, key or sharing, and nothing without a share', () => {
    const table = tableOf(first)
    const { key } = table.add(stored(first))
    expect(table.lender('ckd-dprf').find(key.keyId, undefined)).toEqual({ kind: 'wrong-purpose' })
    expect(table.lender('ckd-dprf').find(key.keyId, key.sharingId)).toEqual({ kind: 'wrong-purpose' })
    expect(table.lender('ecies-dec').find(bytes32(7) as KeyId, undefined)).toEqual({ kind: 'unknown-key' })
    expect(table.lender('ecies-dec').find(key.keyId, bytes32(7) as SharingId)).toEqual({ kind: 'wrong-sharing' })
    const waiting = tableOf(second)
    waiting.add({ certificate: second.certificate, share: undefined })
    expect(waiting.list()).toMatchObject([{ hasShare: false }])
    expect(waiting.lender('ecies-dec').find(key.keyId, undefined)).toEqual({ kind: 'wrong-sharing' })
  })

  it('an ECIES handler does not reach a derivation key', () => {
    const derivation = generateKey('ckd-dprf', 'ckd/1')
    const [member] = derivation.members
    if (member === undefined) throw new Error('the ceremony did not finish')
    const table = tableOf(member, configHash(derivation.config))
    const { key } = table.add(stored(member))
    expect(table.lender('ecies-dec').find(key.keyId, undefined)).toEqual({ kind: 'wrong-purpose' })
    expect(table.lender('ckd-dprf').find(key.keyId, undefined).kind).toBe('found')
  })

  it('wipes its shares', () => {
    const table = tableOf(first)
    const entry = stored(first)
    table.add(entry)
    table.destroy()
    expect(entry.share.destroyed).toBe(true)
    expect(table.list()).toEqual([])
  })
})
