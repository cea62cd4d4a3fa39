import { keccak_256 } from '@noble/hashes/sha3.js'
import { concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { u64 } from '../primitives/codec.ts'

/** A member of a struct type; only these types are known. */
export interface TypedField {
  readonly name: string
  readonly type: 'bytes32' | 'uint256' | 'address' | 'bytes' | 'string'
}

/** Who the signature is for. The fields that are there make up the type of the domain, in this order. */
export interface TypedDomain {
  readonly name: string
  readonly version: string
  readonly chainId?: number
  /** 20 bytes, "0x" and hex. */
  readonly verifyingContract?: `0x${string}`
  /** 32 bytes, "0x" and hex. */
  readonly salt?: `0x${string}`
}

/** Structured data as a wallet shows and signs it: the argument of `signTypedData` (EIP-712), plain JSON, one struct without inner structs. */
export interface TypedData {
  readonly domain: TypedDomain
  /** The primary type alone; wallets add EIP712Domain. */
  readonly types: Readonly<Record<string, readonly TypedField[]>>
  readonly primaryType: string
  /** Bytes and addresses are "0x" and hex, integers are numbers. */
  readonly message: Readonly<Record<string, string | number>>
}

const DOMAIN_FIELDS: readonly (TypedField & { readonly name: keyof TypedDomain })[] = [
  { name: 'name', type: 'string' },
  { name: 'version', type: 'string' },
  { name: 'chainId', type: 'uint256' },
  { name: 'verifyingContract', type: 'address' },
  { name: 'salt', type: 'bytes32' },
]

/**
 * What a wallet signs: keccak256(0x1901 || hash of the domain || hash of the struct), 32 bytes.
 * @throws KmsError `bad-parameters`, `bad-encoding` for a value that does not have the type of its field
 */
export function typedDataDigest({ domain, types, primaryType, message }: TypedData): Uint8Array {
  const fields = types[primaryType]
  if (fields === undefined) throw dkgError('bad-parameters', `the typed data has no type ${primaryType}`)
  const domainFields = DOMAIN_FIELDS.filter(({ name }) => domain[name] !== undefined)
  return keccak_256(
    concatBytes(
      Uint8Array.of(0x19, 0x01),
      hashStruct('EIP712Domain', domainFields, { ...domain }),
      hashStruct(primaryType, fields, message),
    ),
  )
}

function hashStruct(
  name: string,
  fields: readonly TypedField[],
  values: Readonly<Record<string, string | number>>,
): Uint8Array {
  const type = `${name}(${fields.map((field) => `${field.type} ${field.name}`).join(',')})`
  return keccak_256(
    concatBytes(keccak_256(utf8ToBytes(type)), ...fields.map((field) => encodeValue(field, values[field.name]))),
  )
}

/** One word of 32 bytes. */
function encodeValue({ name, type }: TypedField, value: string | number | undefined): Uint8Array {
  if (type === 'uint256') {
    if (typeof value === 'number') return leftPadded(u64(value))
  } else if (typeof value === 'string') {
    if (type === 'string') return keccak_256(utf8ToBytes(value))
    if (/^0x(?:[0-9a-fA-F]{2})*$/.test(value)) {
      const bytes = hexToBytes(value.slice(2))
      if (type === 'bytes') return keccak_256(bytes)
      if (type === 'bytes32' && bytes.length === 32) return bytes
      if (type === 'address' && bytes.length === 20) return leftPadded(bytes)
    }
  }
  throw dkgError('bad-parameters', `the typed data has no ${type} ${name}`)
}

function leftPadded(bytes: Uint8Array): Uint8Array {
  const word = new Uint8Array(32)
  word.set(bytes, 32 - bytes.length)
  return word
}
