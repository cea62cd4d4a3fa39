import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import {
  decodeAll,
  equalBytes,
  list,
  type Reader,
  requireAscending,
  u16,
  u32,
  u64,
  u8,
  varBytes,
} from '../primitives/codec.ts'
import { decodeNodePublicKey } from '../primitives/ed25519.ts'
import { taggedHash } from '../primitives/hash.ts'
import { id32, participantIndex } from '../primitives/point.ts'
import type { CeremonyId, ClusterId, KeyId, NodePublicKey, ParticipantIndex, SharingId } from '../primitives/types.ts'

/** Suite 1: secp256k1 with SHA-256 (protocol 3). */
export const SUITE_SECP256K1 = 1
export const MAX_MEMBERS = 64
export const MAX_KEY_NAME_BYTES = 64
export const ZERO_32: Uint8Array = new Uint8Array(32)

/** What a key may be used for; part of its identity (protocol 0.9). */
export type Purpose = 'ecies-dec' | 'ckd-dprf'
const PURPOSES: readonly Purpose[] = ['ecies-dec', 'ckd-dprf']
export const purposeCode = (purpose: Purpose): number => PURPOSES.indexOf(purpose) + 1

export interface Member {
  readonly index: ParticipantIndex
  /** The node's static Ed25519 identity, also its libp2p identity. */
  readonly publicKey: NodePublicKey
}

/** The parties of one sharing with its threshold (protocol 1, 3). Members ascend by index. */
export interface CommitteeConfig {
  readonly suite: typeof SUITE_SECP256K1
  readonly clusterId: ClusterId
  /** Committee size, 3..64. */
  readonly n: number
  /** Shares needed, 2..n-1. */
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

export function memberAt(config: CommitteeConfig, index: number): Member | undefined {
  return config.members.find((member) => member.index === index)
}

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

function requireConfig(config: CommitteeConfig): CommitteeConfig {
  const { n, t, f, members } = config
  const refuse = (problem: string): never => {
    throw dkgError('bad-config', problem, { data: { n, t, f } })
  }
  if (!Number.isInteger(n) || n < 3 || n > MAX_MEMBERS) refuse(`a committee has 3 to ${MAX_MEMBERS} members`)
  if (!Number.isInteger(t) || t < 2 || t > n - 1) refuse('the threshold lies in 2..n-1')
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
export function decodeConfig(bytes: Uint8Array): CommitteeConfig {
  return decodeAll(bytes, 'config', (reader) => {
    const suite = requireSuite(reader.u16('config.suite'))
    const clusterId = id32<ClusterId>(reader.take(32, 'config.clusterId'), 'config.clusterId')
    const n = reader.u16('config.n')
    const t = reader.u16('config.t')
    const f = reader.u16('config.f')
    const members = reader.list({ min: 3, max: MAX_MEMBERS }, 'config.members', (item) => ({
      index: participantIndex(item.u16('config.members.index')),
      publicKey: decodeNodePublicKey(item.take(32, 'config.members.publicKey'), 'config.members.publicKey'),
    }))
    requireAscending(
      members.map((member) => member.index),
      'config.members',
    )
    return requireConfig({ suite, clusterId, n, t, f, members })
  })
}

/** What clients pin: TH("config", config), 32 bytes. */
export const configHash = (config: CommitteeConfig): Uint8Array => taggedHash('config', encodeConfig(config))

interface SpecCommon {
  readonly suite: typeof SUITE_SECP256K1
  readonly clusterId: ClusterId
  readonly purpose: Purpose
  /** 1..64 bytes of UTF-8, for example "ecies/421614". */
  readonly keyName: string
  /** u32 >= 1. */
  readonly generation: number
  /** u32, one X among several proposed for a slot. */
  readonly attempt: number
  readonly newConfig: CommitteeConfig
  /** Unix seconds. Nodes do not start after it. */
  readonly notAfter: number
}

export interface KeygenSpec extends SpecCommon {
  readonly kind: 'keygen'
  readonly epoch: 0
}

export interface ReshareSpec extends SpecCommon {
  readonly kind: 'reshare'
  /** Exactly the old epoch + 1. */
  readonly epoch: number
  readonly keyId: KeyId
  readonly prevOutcome: SharingId
  readonly oldConfig: CommitteeConfig
}

/** X: what an operator approves, what the ceremony id hashes (protocol 3). */
export type CeremonySpec = KeygenSpec | ReshareSpec

/** Canonical X (protocol 3). */
export function encodeSpec(spec: CeremonySpec): Uint8Array {
  const reshare = spec.kind === 'reshare'
  return concatBytes(
    u8(reshare ? 2 : 1),
    u16(spec.suite),
    spec.clusterId,
    u8(purposeCode(spec.purpose)),
    varBytes(utf8ToBytes(spec.keyName)),
    u32(spec.generation),
    u32(spec.epoch),
    u32(spec.attempt),
    reshare ? spec.keyId : ZERO_32,
    reshare ? spec.prevOutcome : ZERO_32,
    varBytes(reshare ? encodeConfig(spec.oldConfig) : new Uint8Array(0)),
    varBytes(encodeConfig(spec.newConfig)),
    u64(spec.notAfter),
  )
}

const MAX_CONFIG_BYTES = 42 + 34 * MAX_MEMBERS
/** The longest X: two full committees. */
export const MAX_SPEC_BYTES: number = 1 + 2 + 32 + 1 + 4 + MAX_KEY_NAME_BYTES + 12 + 64 + 8 + 2 * MAX_CONFIG_BYTES + 8

/** @throws KmsError `bad-encoding`, `bad-config`, `unsupported` */
export function decodeSpec(bytes: Uint8Array): CeremonySpec {
  if (bytes.length > MAX_SPEC_BYTES) throw dkgError('too-large', 'X is too long')
  return decodeAll(bytes, 'X', readSpec)
}

function readSpec(reader: Reader): CeremonySpec {
  const kind = reader.u8('X.kind')
  const suite = requireSuite(reader.u16('X.suite'))
  const clusterId = id32<ClusterId>(reader.take(32, 'X.clusterId'), 'X.clusterId')
  const purpose = requirePurpose(reader.u8('X.purpose'))
  const keyName = requireKeyName(reader.var(MAX_KEY_NAME_BYTES, 'X.keyName'))
  const generation = reader.u32('X.generation')
  const epoch = reader.u32('X.epoch')
  const attempt = reader.u32('X.attempt')
  const keyId = id32<KeyId>(reader.take(32, 'X.keyId'), 'X.keyId')
  const prevOutcome = id32<SharingId>(reader.take(32, 'X.prevOutcome'), 'X.prevOutcome')
  const oldConfig = reader.var(MAX_CONFIG_BYTES, 'X.oldConfig')
  const newConfig = decodeConfig(reader.var(MAX_CONFIG_BYTES, 'X.newConfig'))
  const notAfter = reader.u64('X.notAfter')
  const common = { suite, clusterId, purpose, keyName, generation, attempt, newConfig, notAfter }
  const refuse = (problem: string): never => {
    throw dkgError('bad-config', problem)
  }
  if (generation < 1) refuse('generations count from 1')
  if (!equalBytes(newConfig.clusterId, clusterId)) refuse('X and its config name different clusters')
  if (kind === 1) {
    if (epoch !== 0 || oldConfig.length !== 0 || !equalBytes(keyId, ZERO_32) || !equalBytes(prevOutcome, ZERO_32))
      refuse('a key generation has no predecessor')
    return { ...common, kind: 'keygen', epoch: 0 }
  }
  if (kind !== 2) refuse('kind is neither key generation nor resharing')
  if (epoch < 1) refuse('a resharing makes an epoch above 0')
  const old = decodeConfig(oldConfig)
  if (!equalBytes(old.clusterId, clusterId)) refuse('X and its old config name different clusters')
  for (const member of newConfig.members) {
    const before = memberAt(old, member.index)
    if (before !== undefined && !equalBytes(before.publicKey, member.publicKey))
      refuse('one index stands for two identities: indices are never reused')
  }
  return { ...common, kind: 'reshare', epoch, keyId, prevOutcome, oldConfig: old }
}

function requireSuite(suite: number): typeof SUITE_SECP256K1 {
  if (suite !== SUITE_SECP256K1) throw dkgError('unsupported', 'only suite 1 is supported', { data: { suite } })
  return suite
}

function requirePurpose(code: number): Purpose {
  const purpose = PURPOSES[code - 1]
  if (purpose === undefined) throw dkgError('unsupported', 'this purpose does not go with suite 1', { data: { code } })
  return purpose
}

const KEY_NAME = /^[a-z0-9][a-z0-9._/-]{0,63}$/

function requireKeyName(bytes: Uint8Array): string {
  return parseKeyName(String.fromCharCode(...bytes))
}

/**
 * A key name: 1..64 of a-z 0-9 . _ / - , first a letter or digit ("ecies/421614").
 * @throws KmsError `bad-config`
 */
export function parseKeyName(name: string): string {
  if (!KEY_NAME.test(name))
    throw dkgError(
      'bad-config',
      'a key name has 1 to 64 characters of a-z 0-9 . _ / - and starts with a letter or digit',
    )
  return name
}

/** ceremony = TH("ceremony", X), 32 bytes. */
export const ceremonyId = (spec: CeremonySpec): CeremonyId => taggedHash('ceremony', encodeSpec(spec)) as CeremonyId

/** slot = TH("slot", clusterId || u8 purpose || var keyName || u32 generation || u32 epoch), 32 bytes. */
export function slotId(spec: CeremonySpec): Uint8Array {
  return taggedHash(
    'slot',
    spec.clusterId,
    u8(purposeCode(spec.purpose)),
    varBytes(utf8ToBytes(spec.keyName)),
    u32(spec.generation),
    u32(spec.epoch),
  )
}
