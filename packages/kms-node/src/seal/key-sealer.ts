import { concatBytes } from '@noble/hashes/utils.js'
import { type Secret, u16, u8 } from '@tkms/dkg'
import type { MonotonicCounter, Rng, Sealer } from '../ports.ts'
import { NONCE_BYTES, openAead, sealAead } from '../store/aead.ts'
import type { PcrValues } from './pcr-values.ts'
import { providerCode, requireProvider, type SealerProvider, unsealFailed } from './sealed-format.ts'

const VERSION = 1
const PREFIX_BYTES = 4
const MAX_HEADER_BYTES = 8192

/** A sealer that is done with at the end. */
export interface NodeSealer extends Sealer {
  readonly provider: SealerProvider
  /** That it could make a store: its device or agent answers. @throws KmsError of the provider */
  check(): Promise<void>
  /**
   * Of a provider that seals to what the machine started: a new wrapping key, for the present start and for `expected` ones, and no
   * other. It counts from the next `seal` on.
   */
  reseal?(expected: readonly PcrValues[]): Promise<void>
  /** Wipes every key. Idempotent. */
  destroy(): void
}

/** Where a provider's wrapping keys of 32 bytes come from. */
export interface WrappingKeys {
  readonly provider: SealerProvider
  /**
   * A key for a new store.
   * @param note as for `MonotonicCounter.create`
   * @returns with what `open` finds it again by: public, at most 8192 bytes
   */
  create(note: MonotonicCounterNote): Promise<WrappingKey>
  /** @throws KmsError `unseal-failed` and those of the provider */
  open(header: Uint8Array): Promise<Secret>
  /** That `create` could succeed, without making anything. */
  check(): Promise<void>
  /** @param current what was opened or made last */
  reseal?(current: WrappingKey, expected: readonly PcrValues[]): Promise<WrappingKey>
  /** Of the key that was opened or made last. */
  readonly counter?: Omit<MonotonicCounter, 'create'>
  /** Wipes what it keeps. */
  destroy(): void
}

type MonotonicCounterNote = Parameters<MonotonicCounter['create']>[0]

export interface WrappingKey {
  readonly header: Uint8Array
  readonly key: Secret
}

/**
 * Seals under a wrapping key that a provider keeps: u8 provider || u8 1 || u16 length || header || nonce(12) || ciphertext || tag(16),
 * AES-256-GCM; everything before the nonce and the caller's aad are authenticated. A key is opened once per process.
 */
export function createKeySealer(keys: WrappingKeys, rng: Rng): NodeSealer {
  let current: Promise<WrappingKey> | undefined

  const keep = (opening: Promise<WrappingKey>): Promise<WrappingKey> => {
    current = opening
    return opening.catch((cause: unknown) => {
      if (current === opening) current = undefined
      throw cause
    })
  }
  const opened = async (header: Uint8Array): Promise<WrappingKey> => {
    const known = await current
    if (known !== undefined && Buffer.compare(known.header, header) === 0) return known
    known?.key.destroy()
    return keep(keys.open(header).then((key) => ({ header, key })))
  }
  const prefixOf = (header: Uint8Array): Uint8Array =>
    concatBytes(u8(providerCode(keys.provider)), u8(VERSION), u16(header.length), header)

  const made = (): Promise<WrappingKey> => current ?? keep(keys.create(async () => undefined))
  const { counter } = keys
  const reseal = keys.reseal?.bind(keys)

  return {
    provider: keys.provider,
    ...(counter && {
      counter: {
        read: () => made().then(() => counter.read()),
        increment: () => made().then(() => counter.increment()),
        create: async (note) => void (await keep(keys.create(note))),
        discard: (place) => counter.discard(place),
        remove: () => counter.remove(),
      },
    }),
    async seal(plaintext, aad) {
      const { header, key } = await made()
      const prefix = prefixOf(header)
      const input = { key, nonce: rng.bytes(NONCE_BYTES), aad: concatBytes(prefix, aad) }
      return concatBytes(prefix, sealAead(input, plaintext))
    },
    async unseal(sealed, aad) {
      requireProvider(sealed, keys.provider)
      const header = headerOf(sealed)
      const { key } = await opened(header)
      const prefix = prefixOf(header)
      const plaintext = openAead({ key, aad: concatBytes(prefix, aad) }, sealed.subarray(prefix.length))
      if (plaintext === undefined)
        throw unsealFailed(`the key of ${keys.provider} is another one, or the sealed file was changed`)
      return plaintext
    },
    check: () => keys.check(),
    ...(reseal && {
      reseal: async (expected) => {
        const known = await made()
        current = Promise.resolve(await reseal(known, expected))
        known.key.destroy()
      },
    }),
    destroy() {
      keys.destroy()
      void current?.then(
        ({ key }) => key.destroy(),
        () => undefined,
      )
      current = undefined
    },
  }
}

function headerOf(sealed: Uint8Array): Uint8Array {
  const length = ((sealed[2] ?? 0) << 8) | (sealed[3] ?? 0)
  if (sealed[1] !== VERSION || length > MAX_HEADER_BYTES || sealed.length < PREFIX_BYTES + length)
    throw unsealFailed('the sealed file is damaged or of another version')
  return sealed.slice(PREFIX_BYTES, PREFIX_BYTES + length)
}
