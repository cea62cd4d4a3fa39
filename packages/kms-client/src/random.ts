import { isSecretScalar, Secret } from '@tkms/dkg'

/** Fresh bytes of the operating system, by WebCrypto. */
export const randomBytes = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length))

/** A fresh scalar, uniform in 1..N-1 by rejection. The caller destroys it. */
export function randomScalar(): Secret {
  for (;;) {
    const bytes = randomBytes(32)
    if (isSecretScalar(bytes)) return new Secret(bytes)
  }
}

/** A random integer below 2^32: for order, not for keys. */
export const randomU32 = (): number => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0
