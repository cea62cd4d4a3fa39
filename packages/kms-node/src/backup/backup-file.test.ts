import { Secret } from '@tkms/dkg'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSigner, publicKeyOf } from '../identity/ed25519-signer.ts'
import { systemRng } from '../system.ts'
import { type BackupFile, decodeBackupFile, encodeBackupFile, readBackupHeader } from './backup-file.ts'

const seed = new Secret(systemRng.bytes(32))
const file: BackupFile = {
  header: {
    clusterId: new Uint8Array(32).fill(1) as BackupFile['header']['clusterId'],
    configHash: new Uint8Array(32).fill(2),
    publicKey: publicKeyOf(seed),
    nodeName: 'alice',
    createdAtMs: 1_764_000_000_000,
    keys: [3, 4].map((byte) => ({
      keyId: new Uint8Array(32).fill(byte) as BackupFile['header']['keys'][number]['keyId'],
      keyName: `ecies/${byte}`,
      generation: 1,
      epoch: 7,
      attempt: 0,
      sharingId: new Uint8Array(32).fill(byte + 8) as BackupFile['header']['keys'][number]['sharingId'],
    })),
  },
  sealed: systemRng.bytes(300),
}
const sign = createSigner(seed)
const encoded = encodeBackupFile(sign, file)

describe('a backup file', () => {
  test('says the same after it was read', () => {
    expect(decodeBackupFile(encoded)).toEqual(file)
    expect(encodeBackupFile(sign, decodeBackupFile(encoded))).toEqual(encoded)
  })

  test('is read by its first bytes as far as its header goes', () => {
    expect(readBackupHeader(encoded.subarray(0, encoded.length - file.sealed.length))).toEqual(file.header)
  })

  test('is refused with any bit changed', () => {
    const bit = fc.tuple(fc.nat({ max: encoded.length - 1 }), fc.nat({ max: 7 }))
    fc.assert(
      fc.property(bit, ([place, shift]) => {
        const changed = encoded.slice()
        changed[place] = (changed[place] ?? 0) ^ (1 << shift)
        const code = place === 8 ? 'backup-version' : 'backup-damaged'
        expect(() => decodeBackupFile(changed)).toThrow(expect.objectContaining({ code }) as Error)
      }),
      { numRuns: 400 },
    )
  })

  test('is refused when it is shorter or longer', () => {
    for (const bytes of [
      encoded.subarray(0, -1),
      encoded.subarray(0, 20),
      new Uint8Array(),
      Uint8Array.of(...encoded, 0),
    ])
      expect(() => decodeBackupFile(bytes)).toThrow(expect.objectContaining({ code: 'backup-damaged' }) as Error)
  })

  test('is refused when somebody else signed it', () => {
    const forged = encodeBackupFile(createSigner(new Secret(systemRng.bytes(32))), file)
    expect(() => decodeBackupFile(forged)).toThrow(expect.objectContaining({ code: 'backup-damaged' }) as Error)
  })

  test('names its keys in one order only', () => {
    const header = { ...file.header, keys: file.header.keys.toReversed() }
    const unordered = encodeBackupFile(sign, { ...file, header })
    expect(() => decodeBackupFile(unordered)).toThrow(expect.objectContaining({ code: 'backup-damaged' }) as Error)
  })
})
