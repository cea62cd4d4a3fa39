import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, equalBytes, type Reader, u16, u32, u64, u8, varBytes } from '../primitives/codec.ts'
import { taggedHash } from '../primitives/hash.ts'
import { id32 } from '../primitives/point.ts'
import type { CeremonyId, ClusterId, KeyId, PointBytes, SharingId } from '../primitives/types.ts'
import {
  type CommitteeConfig,
  decodeConfig,
  decodeImporterConfig,
  encodeConfig,
  importerConfig,
  MAX_MEMBERS,
  type Member,
  memberAt,
  requireSuite,
  SUITE_SECP256K1,
} from './committee.ts'

export * from './committee.ts'

export const MAX_KEY_NAME_BYTES = 64
export const ZERO_32: Uint8Array = new Uint8Array(32)

/** What a key may be used for; part of its identity (protocol 0.9). */
export type Purpose = 'ecies-dec' | 'ckd-dprf'
const PURPOSES: readonly Purpose[] = ['ecies-dec', 'ckd-dprf']
export const purposeCode = (purpose: Purpose): number => PURPOSES.indexOf(purpose) + 1

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

/** A key that exists already comes to a committee: one dealer, who holds all of it, deals it out (protocol 13 f). */
export interface ImportSpec extends SpecCommon {
  readonly kind: 'import'
  readonly epoch: 0
  /** `importKeyId` */
  readonly keyId: KeyId
  /** `importOutcome` */
  readonly prevOutcome: SharingId
  /** n = 1, t = 1: `importerConfig`. */
  readonly oldConfig: CommitteeConfig
}

/** X: what an operator approves, what the ceremony id hashes (protocol 3). */
export type CeremonySpec = KeygenSpec | ReshareSpec | ImportSpec

/** Who deals: the old holders, in a KEYGEN the members themselves (protocol 4). */
export const dealerConfig = (spec: CeremonySpec): CommitteeConfig =>
  spec.kind === 'keygen' ? spec.newConfig : spec.oldConfig

/** What an import has for the outcome of an epoch before it: TH("import", P Y), 32 bytes (protocol 13 f). */
export const importOutcome = (groupKey: PointBytes): SharingId => taggedHash('import', groupKey) as SharingId

/** clusterId || u8 purpose || var keyName || u32 generation: the name of a key, as its ids and slots hash it. */
export const encodeKeyName = (
  spec: Pick<CeremonySpec, 'clusterId' | 'purpose' | 'keyName' | 'generation'>,
): Uint8Array =>
  concatBytes(spec.clusterId, u8(purposeCode(spec.purpose)), varBytes(utf8ToBytes(spec.keyName)), u32(spec.generation))

/** TH("key-id-import", u16 suite || clusterId || u8 purpose || var keyName || u32 generation || P Y), 32 bytes (protocol 13 f). */
export function importKeyId(
  spec: Pick<CeremonySpec, 'suite' | 'clusterId' | 'purpose' | 'keyName' | 'generation'>,
  groupKey: PointBytes,
): KeyId {
  return taggedHash('key-id-import', u16(spec.suite), encodeKeyName(spec), groupKey) as KeyId
}

/** The X that brings the key Y, held by `importer`, to a committee (protocol 13 f). */
export function importSpec(common: Omit<SpecCommon, 'suite'>, importer: Member, groupKey: PointBytes): ImportSpec {
  const named = { ...common, suite: SUITE_SECP256K1 } as const
  return {
    ...named,
    kind: 'import',
    epoch: 0,
    keyId: importKeyId(named, groupKey),
    prevOutcome: importOutcome(groupKey),
    oldConfig: importerConfig(common.clusterId, importer),
  }
}

/** Canonical X (protocol 3). An import has the kind of a resharing, 2, and epoch 0. */
export function encodeSpec(spec: CeremonySpec): Uint8Array {
  const before = spec.kind === 'keygen' ? undefined : spec
  return concatBytes(
    u8(before === undefined ? 1 : 2),
    u16(spec.suite),
    encodeKeyName(spec),
    u32(spec.epoch),
    u32(spec.attempt),
    before?.keyId ?? ZERO_32,
    before?.prevOutcome ?? ZERO_32,
    varBytes(before === undefined ? new Uint8Array(0) : encodeConfig(before.oldConfig)),
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
  if (generation < 1) refuse('generations count from 1')
  if (!equalBytes(newConfig.clusterId, clusterId)) refuse('X and its config name different clusters')
  if (kind === 1) {
    if (epoch !== 0 || oldConfig.length !== 0 || !equalBytes(keyId, ZERO_32) || !equalBytes(prevOutcome, ZERO_32))
      refuse('a key generation has no predecessor')
    return { ...common, kind: 'keygen', epoch: 0 }
  }
  if (kind !== 2) refuse('kind is neither key generation nor resharing')
  const old = epoch === 0 ? decodeImporterConfig(oldConfig) : decodeConfig(oldConfig)
  requireSameIdentities(old, newConfig)
  const handOver = { ...common, keyId, prevOutcome, oldConfig: old }
  return epoch === 0 ? { ...handOver, kind: 'import', epoch } : { ...handOver, kind: 'reshare', epoch }
}

const refuse = (problem: string): never => {
  throw dkgError('bad-config', problem)
}

/** One index is one identity, and one identity is one index: messages are told apart by both (protocol 3). */
function requireSameIdentities(old: CommitteeConfig, next: CommitteeConfig): void {
  if (!equalBytes(old.clusterId, next.clusterId)) refuse('X and its old config name different clusters')
  for (const member of next.members) {
    const before = memberAt(old, member.index)
    if (before !== undefined && !equalBytes(before.publicKey, member.publicKey))
      refuse('one index stands for two identities: indices are never reused')
    if (old.members.some(({ index, publicKey }) => index !== member.index && equalBytes(publicKey, member.publicKey)))
      refuse('one identity has two indices')
  }
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
export const slotId = (spec: CeremonySpec): Uint8Array => taggedHash('slot', encodeKeyName(spec), u32(spec.epoch))
