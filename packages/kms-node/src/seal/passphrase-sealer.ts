import { type ScryptOptions, scrypt } from 'node:crypto'
import { concatBytes } from '@noble/hashes/utils.js'
import { KmsError, Secret, u8 } from '@tkms/dkg'
import type { Rng } from '../ports.ts'
import { KEY_BYTES, NONCE_BYTES, openAead, sealAead } from '../store/aead.ts'
import type { NodeSealer } from './key-sealer.ts'
import { providerCode, requireProvider, unsealFailed } from './sealed-format.ts'

/** Cost of scrypt (RFC 7914): N = 2^logN. */
export interface ScryptParams {
  /** 10..22. */
  readonly logN: number
  /** 1..32. */
  readonly r: number
  /** 1..16. */
  readonly p: number
}

/** 128 MiB and about half a second: OWASP's first choice. */
export const DEFAULT_SCRYPT: ScryptParams = { logN: 17, r: 8, p: 1 }

/** The code of the provider stands where the version of the first format did: it has one version. */
const VERSION = providerCode('passphrase')
const SALT_BYTES = 32
const HEADER_BYTES = 4 + SALT_BYTES

export interface PassphraseSealerOptions {
  /** Taken over: destroyed by `destroy`. */
  readonly passphrase: Secret
  readonly rng: Rng
  /** Only a development profile and tests go below the default. */
  readonly params?: ScryptParams
}

export interface PassphraseSealer extends NodeSealer {
  readonly provider: 'passphrase'
}

/**
 * Seals under a passphrase: u8 1 || u8 logN || u8 r || u8 p || salt(32) || nonce(12) || ciphertext || tag(16), AES-256-GCM under
 * scrypt(passphrase, salt), the header and the caller's aad authenticated. One derivation per salt and process.
 */
export function createPassphraseSealer(options: PassphraseSealerOptions): PassphraseSealer {
  const { passphrase, rng } = options
  const params = requireParams(options.params ?? DEFAULT_SCRYPT)
  const keys = new Map<string, Promise<Secret>>()
  let current = encodeHeader(params, rng.bytes(SALT_BYTES))

  const keyOf = (header: Uint8Array): Promise<Secret> => {
    const name = Buffer.from(header).toString('hex')
    const known = keys.get(name)
    if (known !== undefined) return known
    const derived = deriveKey(passphrase, header)
    keys.set(name, derived)
    return derived
  }

  return {
    provider: 'passphrase',
    async seal(plaintext, aad) {
      const header = current
      const key = await keyOf(header)
      return concatBytes(
        header,
        sealAead({ key, nonce: rng.bytes(NONCE_BYTES), aad: concatBytes(header, aad) }, plaintext),
      )
    },
    async unseal(sealed, aad) {
      requireProvider(sealed, 'passphrase')
      const header = sealed.slice(0, HEADER_BYTES)
      const found = decodeHeader(header)
      const key = await keyOf(header)
      const plaintext = openAead({ key, aad: concatBytes(header, aad) }, sealed.subarray(HEADER_BYTES))
      if (plaintext === undefined) throw unsealFailed('the passphrase is wrong, or the sealed file was changed')
      if (found.logN === params.logN && found.r === params.r && found.p === params.p) current = header
      return plaintext
    },
    check: async () => undefined,
    destroy() {
      passphrase.destroy()
      for (const key of keys.values())
        void key.then(
          (secret) => secret.destroy(),
          () => undefined,
        )
      keys.clear()
    },
  }
}

function requireParams(params: ScryptParams): ScryptParams {
  const within = (value: number, min: number, max: number): boolean =>
    Number.isInteger(value) && value >= min && value <= max
  if (!within(params.logN, 10, 22) || !within(params.r, 1, 32) || !within(params.p, 1, 16))
    throw unsealFailed('the scrypt parameters are out of range')
  return params
}

const encodeHeader = (params: ScryptParams, salt: Uint8Array): Uint8Array =>
  concatBytes(u8(VERSION), u8(params.logN), u8(params.r), u8(params.p), salt)

function decodeHeader(header: Uint8Array): ScryptParams {
  if (header.length !== HEADER_BYTES || header[0] !== VERSION)
    throw unsealFailed('these bytes were not sealed by a passphrase')
  return requireParams({ logN: header[1] ?? 0, r: header[2] ?? 0, p: header[3] ?? 0 })
}

function deriveKey(passphrase: Secret, header: Uint8Array): Promise<Secret> {
  const { logN, r, p } = decodeHeader(header)
  const cost: ScryptOptions = { N: 2 ** logN, r, p, maxmem: 128 * 2 ** logN * r + 128 * r * p + (1 << 20) }
  return new Promise((resolve, reject) => {
    passphrase.use((bytes) =>
      scrypt(bytes, header.slice(4), KEY_BYTES, cost, (error, key) =>
        error === null
          ? resolve(new Secret(key))
          : reject(new KmsError('unseal-failed', 'scrypt failed', { cause: error })),
      ),
    )
  })
}
