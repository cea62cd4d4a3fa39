import { secp256k1 } from '@noble/curves/secp256k1.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import { bytesToHex, concatBytes, hexToBytes, numberToBytesBE } from '@noble/curves/utils.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { verifyEd25519 } from '../primitives/ed25519.ts'
import { type TypedData, typedDataDigest } from './eip712.ts'
import { ethereumAddress, recoverEthereumAddress } from './ethereum-signature.ts'
import { typedStatement, verifyStatement } from './statement.ts'

// The example key of EIP-712: keccak256("cow").
const key = keccak_256(utf8ToBytes('cow'))
const address = ethereumAddress(secp256k1.getPublicKey(key, false))
const id = `eip712:0x${bytesToHex(address)}`
// RFC 8032, 7.1, test 1.
const ED25519_KEY = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'
const fields = { primaryType: 'Test', fields: 'uint256 items' }
const statement = typedStatement(new Uint8Array(0), fields, () => ({ items: 3 }))
const digest = typedDataDigest(statement.typedData)

function signDigest(hash: Uint8Array): { rs: Uint8Array; v: number } {
  const signature = secp256k1.sign(hash, key, { prehash: false, format: 'recovered' })
  return { rs: signature.slice(1), v: 27 + (signature[0] ?? 0) }
}
const { rs, v } = signDigest(digest)
const signature = concatBytes(rs, Uint8Array.of(v))
const holds = (wrong: Uint8Array, signerId = id): boolean => verifyStatement(verifyEd25519, signerId, statement, wrong)

describe('a statement', () => {
  it('is put into words for wallets alone', () => {
    const unseen = typedStatement(Uint8Array.of(7), fields, () => {
      throw new RangeError('looked at')
    })
    expect(verifyStatement(() => true, `ed25519:${ED25519_KEY}`, unseen, new Uint8Array(64))).toBe(true)
    expect(() => verifyStatement(() => true, id, unseen, signature)).toThrow('looked at')
  })
})

describe('a signature of a wallet', () => {
  it('is of its address', () => {
    expect(`0x${bytesToHex(address)}`).toBe('0xcd2a3d9f938e13cd947ec05abc7fe734df8dd826')
    expect(holds(signature)).toBe(true)
    expect(recoverEthereumAddress(digest, signature)).toEqual(address)
  })

  const n = secp256k1.Point.Fn.ORDER
  const highS = concatBytes(
    rs.slice(0, 32),
    numberToBytesBE(n - BigInt(`0x${bytesToHex(rs.slice(32))}`), 32),
    Uint8Array.of(v === 27 ? 28 : 27),
  )
  it.each([
    ['the other v', concatBytes(rs, Uint8Array.of(v === 27 ? 28 : 27))],
    ['v 0 or 1', concatBytes(rs, Uint8Array.of(v - 27))],
    ['v with a chain id', concatBytes(rs, Uint8Array.of(v + 10))],
    ['a high s', highS],
    ['64 bytes', rs],
    ['66 bytes', concatBytes(signature, Uint8Array.of(0))],
    ['nothing', new Uint8Array(0)],
    ['zeros', concatBytes(new Uint8Array(64), Uint8Array.of(27))],
    ['r = n', concatBytes(numberToBytesBE(n, 32), rs.slice(32), Uint8Array.of(v))],
    ['r that is no x of a point', concatBytes(numberToBytesBE(5n, 32), rs.slice(32), Uint8Array.of(v))],
  ])('with %s is none', (_what, wrong) => {
    expect(holds(wrong)).toBe(false)
  })

  it('is of no other address, no other kind of signer and no other statement', () => {
    expect(holds(signature, `eip712:0x${'11'.repeat(20)}`)).toBe(false)
    expect(holds(signature, 'none')).toBe(false)
    expect(holds(signature, `session:${'ab'.repeat(32)}`)).toBe(false)
    expect(holds(signature, `ed25519:${'ab'.repeat(32)}`)).toBe(false)
    expect(holds(signature, id.toUpperCase())).toBe(false)
    const other = typedStatement(new Uint8Array(0), fields, () => ({ items: 4 }))
    expect(verifyStatement(verifyEd25519, id, other, signature)).toBe(false)
  })
})

describe('typed data', () => {
  it('hashes as the specification of EIP-712 says', () => {
    const expected = concatBytes(
      Uint8Array.of(0x19, 1),
      keccak_256(
        concatBytes(
          keccak_256(utf8ToBytes('EIP712Domain(string name,string version)')),
          keccak_256(utf8ToBytes('Threshold KMS')),
          keccak_256(utf8ToBytes('1')),
        ),
      ),
      keccak_256(concatBytes(keccak_256(utf8ToBytes('Test(uint256 items)')), numberToBytesBE(3n, 32))),
    )
    expect(digest).toEqual(keccak_256(expected))
  })

  const typed = (type: TypedData['types'][string][number]['type'], value?: string | number): TypedData => ({
    domain: { name: 'x', version: '1' },
    types: { T: [{ name: 'a', type }] },
    primaryType: 'T',
    message: value === undefined ? {} : { a: value },
  })
  it.each([
    ['a missing value', typed('string')],
    ['a number for bytes', typed('bytes32', 1)],
    ['text for a number', typed('uint256', '1')],
    ['a negative number', typed('uint256', -1)],
    ['a fraction', typed('uint256', 0.5)],
    ['31 bytes', typed('bytes32', `0x${'00'.repeat(31)}`)],
    ['an address of 21 bytes', typed('address', `0x${'00'.repeat(21)}`)],
    ['half a byte', typed('bytes', '0x0')],
    ['no type of its name', { ...typed('string', 'a'), primaryType: 'U' }],
  ])('with %s is refused', (_what, data) => {
    expect(() => typedDataDigest(data)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^bad-(?:parameters|encoding)$/) }),
    )
  })

  it('does not confuse bytes with their text, nor one domain with another', () => {
    const bytes = hexToBytes('3078ff')
    const documents: TypedData[] = [
      typed('bytes', `0x${bytesToHex(bytes)}`),
      typed('string', `0x${bytesToHex(bytes)}`),
      { ...typed('bytes', '0x3078ff'), domain: { name: 'x', version: '1', chainId: 1 } },
      { ...typed('bytes', '0x3078ff'), domain: { name: 'x', version: '1', salt: `0x${'00'.repeat(32)}` } },
    ]
    const digests = documents.map((data) => bytesToHex(typedDataDigest(data)))
    expect(new Set(digests).size).toBe(4)
  })
})
