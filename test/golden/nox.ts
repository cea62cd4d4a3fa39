import { secp256k1 } from '@noble/curves/secp256k1.js'
import { concatBytes, hexToBytes } from '@noble/hashes/utils.js'
import {
  encodeNoxAuthorization,
  ethereumAddress,
  noxDataAccessTypedData,
  noxDelegateTypedData,
  type PointBytes,
  type TypedData,
  typedDataDigest,
} from '@tkms/dkg'
import { fixed, hex, REQUESTER_SPKI } from './fixed.ts'

const CHAIN_ID = 421_614
const contract = `0x${hex(fixed('nox', 'contract').slice(0, 20))}`
const keys = { gateway: fixed('nox', 'gateway'), user: fixed('nox', 'user') }
const addressOf = (who: keyof typeof keys): Uint8Array => ethereumAddress(secp256k1.getPublicKey(keys[who], false))

function sign(who: keyof typeof keys, typedData: TypedData): Uint8Array {
  const signed = secp256k1.sign(typedDataDigest(typedData), keys[who], { prehash: false, format: 'recovered' })
  return concatBytes(signed.slice(1), Uint8Array.of(27 + (signed[0] ?? 0)))
}

/** What a Nox gateway and its user sign, as a v1 item carries it: the texts keep their letter case and prefix. */
export function noxDocument(K: PointBytes): object {
  const spki = hexToBytes(REQUESTER_SPKI)
  const delegated = {
    chainId: CHAIN_ID,
    ephemeralPubKey: `0x${hex(K).toUpperCase()}`,
    targetPubKey: `0x${hex(spki)}`,
  }
  const asked = {
    address: addressOf('user'),
    encryptionPubKey: hex(spki),
    notBefore: 1_799_999_970,
    expiresAt: 1_800_003_570,
  }
  const delegate = noxDelegateTypedData(delegated)
  const access = noxDataAccessTypedData(asked, { chainId: CHAIN_ID, contract })
  const gateway = { ...delegated, signature: sign('gateway', delegate) }
  const user = { ...asked, signature: sign('user', access) }
  return {
    contract,
    gateway: hex(addressOf('gateway')),
    user: hex(addressOf('user')),
    K: hex(K),
    spki: hex(spki),
    delegateDigest: hex(typedDataDigest(delegate)),
    accessDigest: hex(typedDataDigest(access)),
    gatewayAlone: hex(encodeNoxAuthorization(gateway)),
    withUser: hex(encodeNoxAuthorization({ ...gateway, user })),
  }
}
