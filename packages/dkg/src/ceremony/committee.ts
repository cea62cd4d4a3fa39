import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, equalBytes, list, requireAscending, u16 } from '../primitives/codec.ts'
import { decodeNodePublicKey } from '../primitives/ed25519.ts'
import { taggedHash } from '../primitives/hash.ts'
import { id32, participantIndex } from '../primitives/point.ts'
import { onceFor } from './memo.ts'
import type { ClusterId, NodePublicKey, ParticipantIndex } from '../primitives/types.ts'

/** Suite 1: secp256k1 with SHA-256 (protocol 3). */
export const SUITE_SECP256K1 = 1
export const MAX_MEMBERS = 64

export interface Member {
  readonly index: ParticipantIndex
  /** The node's static Ed25519 identity, also its libp2p identity. */
  readonly publicKey: NodePublicKey
}

/** The parties of one sharing with its threshold (protocol 1, 3). Members ascend by index. */
export interface CommitteeConfig {
  readonly suite: typeof SUITE_SECP256K1
  readonly clusterId: ClusterId
  /** Committee size, 3..64; 1 for the importer of an existing key (protocol 13 f). */
  readonly n: number
  /** Shares needed, 2..n-1; 1 for an importer. */
  readonly t: number
  /** Faulty nodes a ceremony tolerates: follows from n and t. */
  readonly f: number
  readonly members: readonly Member[]
}

/** f = min(floor((n-1)/3), floor((n-t)/2), t-1), never chosen (protocol 1). */
export const faultTolerance = (n: number, t: number): number =>
  Math.min(Math.floor((n - 1) / 3), Math.floor((n - t) / 2), t - 1)

/** Q = n - f (protocol 1). */
export const quorum = (config: CommitteeConfig): number => config.n - config.f

const byIndex = onceFor(
  (members: readonly Member[]) => new Map<number, Member>(members.map((member) => [member.index, member])),
)

export const memberAt = ({ members }: CommitteeConfig, index: number): Member | undefined => byIndex(members).get(index)

/**
 * A committee of these members with threshold t.
 * @throws KmsError `bad-config` when n, t or the roster break the rules of protocol 1
 */
export function createConfig(input: {
  readonly clusterId: ClusterId
  readonly t: number
  readonly members: readonly Member[]
}): CommitteeConfig {
  const members = input.members.toSorted((left, right) => left.index - right.index)
  const n = members.length
  return requireConfig({
    suite: SUITE_SECP256K1,
    clusterId: input.clusterId,
    n,
    t: input.t,
    f: faultTolerance(n, input.t),
    members,
  })
}

/**
 * The "committee" of an IMPORT's only dealer, who holds the whole key: n = 1, t = 1, f = 0 (protocol 13 f).
 * Valid as the old config of an import and nowhere else.
 */
export const importerConfig = (clusterId: ClusterId, importer: Member): CommitteeConfig => ({
  suite: SUITE_SECP256K1,
  clusterId,
  n: 1,
  t: 1,
  f: 0,
  members: [importer],
})

const refuseConfig = ({ n, t, f }: CommitteeConfig, problem: string): never => {
  throw dkgError('bad-config', problem, { data: { n, t, f } })
}

function requireImporter(config: CommitteeConfig): CommitteeConfig {
  const { n, t, f, members } = config
  if (n !== 1 || t !== 1 || f !== 0 || members.length !== 1)
    refuseConfig(config, 'an import has one dealer, who holds the whole key: n = 1, t = 1, f = 0')
  return config
}

function requireConfig(config: CommitteeConfig): CommitteeConfig {
  const { n, t, f, members } = config
  const refuse = (problem: string): never => refuseConfig(config, problem)
  if (!Number.isInteger(n) || n < 3 || n > MAX_MEMBERS) refuse(`a committee has 3 to ${MAX_MEMBERS} members, not ${n}`)
  if (!Number.isInteger(t) || t < 2 || t > n - 1)
    refuse(`${n} members cannot have the threshold ${t}: it lies in 2 to n - 1`)
  if (f !== faultTolerance(n, t)) refuse('f follows from n and t and cannot be chosen')
  if (members.length !== n) refuse('n is not the number of members')
  if (new Set(members.map((member) => member.index)).size !== n) refuse('two members have the same index')
  if (
    members.some((left, at) =>
      members.some((right, other) => other > at && equalBytes(left.publicKey, right.publicKey)),
    )
  )
    refuse('two members have the same public key')
  return config
}

/** u16 suite || clusterId || u16 n || u16 t || u16 f || list(u16 index || ed25519 public key) (protocol 3). 42 + 34n bytes. */
export function encodeConfig(config: CommitteeConfig): Uint8Array {
  return concatBytes(
    u16(config.suite),
    config.clusterId,
    u16(config.n),
    u16(config.t),
    u16(config.f),
    list(config.members, (member) => concatBytes(u16(member.index), member.publicKey)),
  )
}

/** @throws KmsError `bad-encoding`, `bad-config`, `unsupported` */
export const decodeConfig = (bytes: Uint8Array): CommitteeConfig => requireConfig(readConfig(bytes))

/**
 * The old config of an import.
 * @throws KmsError `bad-encoding`, `bad-config`, `unsupported`
 */
export const decodeImporterConfig = (bytes: Uint8Array): CommitteeConfig => requireImporter(readConfig(bytes))

function readConfig(bytes: Uint8Array): CommitteeConfig {
  return decodeAll(bytes, 'config', (reader) => {
    const suite = requireSuite(reader.u16('config.suite'))
    const clusterId = id32<ClusterId>(reader.take(32, 'config.clusterId'), 'config.clusterId')
    const n = reader.u16('config.n')
    const t = reader.u16('config.t')
    const f = reader.u16('config.f')
    const members = reader.list({ min: 1, max: MAX_MEMBERS }, 'config.members', (item) => ({
      index: participantIndex(item.u16('config.members.index')),
      publicKey: decodeNodePublicKey(item.take(32, 'config.members.publicKey'), 'config.members.publicKey'),
    }))
    requireAscending(
      members.map((member) => member.index),
      'config.members',
    )
    return { suite, clusterId, n, t, f, members }
  })
}

/** @throws KmsError `unsupported` */
export function requireSuite(suite: number): typeof SUITE_SECP256K1 {
  if (suite !== SUITE_SECP256K1) throw dkgError('unsupported', 'only suite 1 is supported', { data: { suite } })
  return suite
}

/** What clients pin: TH("config", config), 32 bytes. */
export const configHash = (config: CommitteeConfig): Uint8Array => taggedHash('config', encodeConfig(config))
