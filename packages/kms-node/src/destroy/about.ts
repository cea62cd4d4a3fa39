import { bytesKey, decodeErased, type KeyId, type VerifiedKey } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'

/** For the log. */
export const about = ({ keyId, keyName, generation, epoch }: VerifiedKey): Readonly<Record<string, unknown>> => ({
  keyId: `0x${bytesKey(keyId)}`,
  keyName,
  generation,
  epoch,
})

/** The key that an ERASED is about; undefined where it is none. */
export function erasedKeyOf(message: Uint8Array): KeyId | undefined {
  try {
    return decodeErased(message).statement.keyId
  } catch (cause) {
    if (isKmsError(cause)) return undefined
    throw cause
  }
}
