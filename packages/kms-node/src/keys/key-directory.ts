import { bytesToHex } from '@noble/hashes/utils.js'
import { equalBytes, type KeyId } from '@tkms/dkg'
import { describeKey, type DescribePorts, type KeyDescription } from './describe-key.ts'
import type { KeyKeeper } from './keeper-types.ts'

/** Certificates in one answer. */
const MAX_CERTIFICATES = 64
/** An answer is ended before it grows beyond this, unless its first certificate alone does. */
const MAX_CHAIN_BYTES = 2 * 1024 * 1024

/** A stretch of a key's chain of certificates, for a client that knows its beginning. */
export interface ChainPage {
  readonly keyId: string
  /** The epoch and attempt of the latest certificate that is known here: ask again with `above` until it is there. */
  readonly latest: { readonly epoch: number; readonly attempt: number }
  /** By epoch, then attempt. At most 64 and 2 MiB. */
  readonly certificates: readonly string[]
}

/** What the node tells of its keys. Public. */
export interface KeyDirectory {
  /** By name and generation. */
  list(): readonly KeyDescription[]
  get(keyId: KeyId): KeyDescription | undefined
  /** The certificates of epochs above `above`, from the first one when it is undefined. */
  chain(keyId: KeyId, above: number | undefined): ChainPage | undefined
  /** Why no request is answered, whatever the key: its peers are still asked (protocol 5), or there is no share here. */
  problem(): 'starting' | 'no-key' | undefined
}

export function createKeyDirectory(keeper: Pick<KeyKeeper, 'list' | 'isOpen'>, ports: DescribePorts): KeyDirectory {
  const lifeOf = (keyId: KeyId) => keeper.list().find((life) => equalBytes(life.keyId, keyId))
  const list = (): readonly KeyDescription[] => keeper.list().flatMap((life) => describeKey(life, ports) ?? [])
  return {
    list,
    get: (keyId) => {
      const life = lifeOf(keyId)
      return life && describeKey(life, ports)
    },
    chain: (keyId, above) => {
      const keys = lifeOf(keyId)?.sharings.map(({ sharing }) => sharing.key) ?? []
      const [latest] = keys
      if (latest === undefined) return undefined
      const later = keys.toReversed().filter(({ epoch }) => above === undefined || epoch > above)
      return {
        keyId: hex(keyId),
        latest: { epoch: latest.epoch, attempt: latest.attempt },
        certificates: firstOf(later.map(({ certificate }) => certificate)).map(hex),
      }
    },
    problem: () => {
      const serves = list().some(({ serving, role }) => serving || role === 'retiring')
      return serves ? (keeper.isOpen() ? undefined : 'starting') : 'no-key'
    },
  }
}

const hex = (bytes: Uint8Array): string => `0x${bytesToHex(bytes)}`

function firstOf(certificates: readonly Uint8Array[]): readonly Uint8Array[] {
  let bytes = 0
  const end = certificates.findIndex((certificate, at) => {
    bytes += 2 * certificate.length
    return at >= MAX_CERTIFICATES || (at > 0 && bytes > MAX_CHAIN_BYTES)
  })
  return end < 0 ? certificates : certificates.slice(0, end)
}
