import { attempt, equalBytes } from '../primitives/codec.ts'
import { decodeNodePublicKey, type VerifyMessage } from '../primitives/ed25519.ts'
import { type TypedData, typedDataDigest, type TypedField } from './eip712.ts'
import { recoverEthereumAddress } from './ethereum-signature.ts'
import { parsePublicKeyId } from './public-key-id.ts'

/** One thing to sign, in the two forms that keys sign: bytes for Ed25519, and a struct that a wallet shows to its owner. */
export interface Statement {
  /** sig(tag, body): what an Ed25519 key signs. */
  readonly message: Uint8Array
  /** What a wallet signs (EIP-712). It holds the hash of the whole body, so both forms cover every byte. */
  readonly typedData: TypedData
}

/** No chain id: these signatures are for a cluster, which the message names. */
const DOMAIN = { name: 'Threshold KMS', version: '1' } as const

/**
 * @param fields as in the type string of EIP-712: "bytes32 clusterId,uint256 items"
 * @param values asked for when the struct is looked at: an Ed25519 key signs the message alone
 */
export function typedStatement(
  message: Uint8Array,
  { primaryType, fields }: { readonly primaryType: string; readonly fields: string },
  values: () => TypedData['message'],
): Statement {
  return {
    message,
    get typedData() {
      const types = fields.split(',').map((field): TypedField => {
        const [type, name = ''] = field.split(' ') as [TypedField['type'], string?]
        return { name, type }
      })
      return { domain: DOMAIN, types: { [primaryType]: types }, primaryType, message: values() }
    },
  }
}

/**
 * Whether the Ed25519 key or the wallet behind an id signed a statement. A contract wallet, which only its chain can ask, did not.
 * Never throws.
 */
export function verifyStatement(
  verify: VerifyMessage,
  signerId: string,
  statement: Statement,
  signature: Uint8Array,
): boolean {
  const signer = attempt(() => parsePublicKeyId(signerId))
  if (signer?.kind === 'ed25519') {
    const key = attempt(() => decodeNodePublicKey(signer.key, 'publicKeyId'))
    return key !== undefined && verify(key, statement.message, signature)
  }
  if (signer?.kind !== 'eip712') return false
  const address = recoverEthereumAddress(typedDataDigest(statement.typedData), signature)
  return address !== undefined && equalBytes(address, signer.address)
}
