import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { certificatesHash, reportData, type ReportSubject } from './report-data.ts'

const filled = (value: number): Uint8Array => new Uint8Array(32).fill(value)
const node: ReportSubject = {
  role: 'node',
  clusterId: filled(1),
  identity: filled(2),
  certificates: filled(3),
  nonce: filled(4),
  channel: filled(5),
}

describe('report data', () => {
  it('is the hash of the tag, the role and five fields with their lengths', () => {
    const length = Uint8Array.of(0, 0, 0, 32)
    const fields = [1, 2, 3, 4, 5].flatMap((value) => [length, filled(value)])
    const preimage = concatBytes(
      Uint8Array.of(0, 0, 0, 18),
      utf8ToBytes('TKMS/1/report-data'),
      Uint8Array.of(1),
      ...fields,
    )
    expect(Buffer.from(reportData(node))).toEqual(createHash('sha512').update(preimage).digest())
  })

  it('differs where any field, or the role, differs', () => {
    const others: readonly ReportSubject[] = [
      { ...node, clusterId: filled(9) },
      { ...node, identity: filled(9) },
      { ...node, certificates: filled(9) },
      { ...node, certificates: undefined },
      { ...node, nonce: filled(9) },
      { ...node, channel: filled(9) },
      { ...node, channel: undefined },
      { role: 'requester', clusterId: filled(1), rsaSpkiSha256: filled(2), nonce: filled(4), channel: filled(5) },
      { role: 'node', clusterId: filled(1), identity: filled(2), nonce: filled(4), channel: filled(5) },
    ]
    const hashes = [node, ...others].map((subject) => Buffer.from(reportData(subject)).toString('hex'))
    // Leaving the certificates out is the same as giving none.
    expect(new Set(hashes).size).toBe(others.length)
    expect(hashes[4]).toBe(hashes[9])
  })

  it('takes zeros for what is left out', () => {
    expect(reportData({ ...node, channel: filled(0) })).toEqual(reportData({ ...node, channel: undefined }))
  })

  it('takes fields of 32 bytes only', () => {
    for (const field of ['clusterId', 'identity', 'certificates', 'nonce', 'channel'])
      expect(() => reportData({ ...node, [field]: new Uint8Array(31) })).toThrow(
        expect.objectContaining({ code: 'bad-encoding' }),
      )
  })
})

describe('the hash of certificates', () => {
  const one = { keyId: filled(1), certificate: Uint8Array.of(1) }
  const two = { keyId: filled(2), certificate: Uint8Array.of(2) }

  it('does not depend on their order, and is zeros without any', () => {
    expect(certificatesHash([one, two])).toEqual(certificatesHash([two, one]))
    expect(certificatesHash([])).toEqual(filled(0))
  })

  it('differs with each certificate and each key', () => {
    const sets = [
      [one],
      [two],
      [one, two],
      [one, { ...two, certificate: Uint8Array.of(3) }],
      [{ ...one, keyId: filled(3) }],
    ]
    expect(new Set(sets.map((held) => Buffer.from(certificatesHash(held)).toString('hex'))).size).toBe(sets.length)
  })
})
