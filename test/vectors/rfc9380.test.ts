import { secp256k1, secp256k1_hasher } from '@noble/curves/secp256k1.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import { expect, it } from 'vitest'
import { hashToCurve } from '@tkms/dkg'
import { describeVectors, number, readJson } from '../support/vectors.ts'

interface Suite {
  readonly dst: string
  readonly vectors: readonly { readonly msg: string; readonly P: { readonly x: string; readonly y: string } }[]
}

const compressed = ({ x, y }: { readonly x: string; readonly y: string }): Uint8Array =>
  secp256k1.Point.fromAffine({ x: number(x), y: number(y) }).toBytes(true)

describeVectors('RFC 9380 hash to curve, secp256k1_XMD:SHA-256_SSWU', () => {
  const random = readJson<Suite>('rfc9380/secp256k1_XMD_SHA-256_SSWU_RO_.json')
  const encode = readJson<Suite>('rfc9380/secp256k1_XMD_SHA-256_SSWU_NU_.json')

  it.each(random.vectors)('random oracle, message "$msg"', ({ msg, P }) => {
    expect(hashToCurve(utf8ToBytes(msg), random.dst)).toEqual(compressed(P))
  })

  it.each(encode.vectors)('the non-uniform map under it, message "$msg"', ({ msg, P }) => {
    const point = secp256k1_hasher.encodeToCurve(utf8ToBytes(msg), { DST: encode.dst })
    expect(secp256k1.Point.fromAffine(point.toAffine()).toBytes(true)).toEqual(compressed(P))
  })

  it('has five messages each', () => {
    expect(random.vectors).toHaveLength(5)
    expect(encode.vectors).toHaveLength(5)
  })
})
