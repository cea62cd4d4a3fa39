import { concatBytes, hexToBytes } from '@noble/hashes/utils.js'
import { attempt, bytesKey, decodeAll, type NodePublicKey, type Reader, Secret, u32, u64, u8 } from '@tkms/dkg'
import { unlessDamaged } from '../keys/damage.ts'
import type { Roster } from '../net/roster.ts'
import type { RecordStore } from '../ports.ts'
import { storeError } from '../store/errors.ts'

const ID = 'last'
const VERSION = 1
const IDENTITY_BYTES = 32
/** More than a cluster has nodes. */
const MAX_PROOFS = 1024
/** A proof that is newer by less than this is written with the next one. */
const WRITE_AFTER_MS = 3_600_000

/** When an identity proved itself last, and until when that proof held. Unix milliseconds. */
export interface LastProof {
  readonly acceptedMs: number
  readonly expiresMs: number
}

/** The last good proof of each member: one whose date alone is against it is judged as it would have been judged then. */
export interface ProofMemory {
  get(identity: NodePublicKey): LastProof | undefined
  keep(identity: NodePublicKey, proof: LastProof): void
  /** It was refused for something that no date mends. */
  forget(identity: NodePublicKey): void
  /** Resolves once everything before it was written, or its failure told. */
  settled(): Promise<void>
}

export interface ProofMemoryOptions {
  /** Without it everything is forgotten with the process. */
  readonly store: Pick<RecordStore, 'get' | 'put'>
  /** Whoever leaves it, or is a member no more, is forgotten. */
  readonly roster: Pick<Roster, 'peers' | 'onChange'>
  /** What is known could not be written: a restart forgets it. */
  readonly onError: (cause: unknown) => void
}

/**
 * u8 1 || u32 count || (identity(32) || u64 acceptedMs || u64 expiresMs)*, sealed: so a restart while papers are old loses nobody whom
 * the floor keeps. A record that is damaged counts as none.
 * @throws errors of the store
 */
export async function openProofMemory({ store, roster, onError }: ProofMemoryOptions): Promise<ProofMemory> {
  const isMember = (identity: string): boolean =>
    roster.peers.some(({ role, publicKey }) => role === 'member' && bytesKey(publicKey) === identity)
  const saved = await readSaved(store)
  const proofs = new Map([...saved].filter(([identity]) => isMember(identity)))
  /** As of the last write that began. */
  let written = saved
  let writing: Promise<void> | undefined
  let isDirty = false

  const write = async (): Promise<void> => {
    while (isDirty) {
      isDirty = false
      written = new Map(proofs)
      await put(store, written).catch(onError)
    }
    writing = undefined
  }
  const save = (): void => {
    isDirty = true
    writing ??= write()
  }
  const forget = (identity: NodePublicKey): void => {
    const known = proofs.delete(bytesKey(identity))
    if (known || written.has(bytesKey(identity))) save()
  }
  roster.onChange(({ removed, added }) => {
    const stays = new Set(added.filter(({ role }) => role === 'member').map(({ publicKey }) => bytesKey(publicKey)))
    for (const { publicKey } of removed) if (!stays.has(bytesKey(publicKey))) forget(publicKey)
  })
  if (proofs.size < saved.size) save()

  return {
    get: (identity) => proofs.get(bytesKey(identity)),
    keep: (identity, proof) => {
      const name = bytesKey(identity)
      if (!isMember(name) || (proofs.size >= MAX_PROOFS && !proofs.has(name))) return
      proofs.set(name, proof)
      const before = written.get(name)
      if (before === undefined || proof.acceptedMs - before.acceptedMs >= WRITE_AFTER_MS) save()
    },
    forget,
    settled: async () => writing,
  }
}

async function put(store: Pick<RecordStore, 'put'>, proofs: ReadonlyMap<string, LastProof>): Promise<void> {
  const entries = [...proofs].map(([identity, { acceptedMs, expiresMs }]) =>
    concatBytes(hexToBytes(identity), u64(wholeMs(acceptedMs)), u64(wholeMs(expiresMs))),
  )
  const record = new Secret(concatBytes(u8(VERSION), u32(entries.length), ...entries))
  try {
    await store.put('attested', ID, record)
  } finally {
    record.destroy()
  }
}

const wholeMs = (ms: number): number => Math.max(0, Math.floor(ms))

async function readSaved(store: Pick<RecordStore, 'get'>): Promise<ReadonlyMap<string, LastProof>> {
  const record = await unlessDamaged(() => store.get('attested', ID))
  if (record === undefined) return new Map()
  try {
    return new Map(attempt(() => record.use((bytes) => decodeAll(bytes, 'attested', readProofs))) ?? [])
  } finally {
    record.destroy()
  }
}

function readProofs(reader: Reader): (readonly [string, LastProof])[] {
  const version = reader.u8('attested.version')
  const count = reader.u32('attested.count')
  if (version !== VERSION || count > MAX_PROOFS)
    throw storeError('store-corrupt', 'the record of proofs is of another version')
  return Array.from({ length: count }, () => {
    const identity = bytesKey(reader.take(IDENTITY_BYTES, 'attested.identity'))
    return [
      identity,
      { acceptedMs: reader.u64('attested.acceptedMs'), expiresMs: reader.u64('attested.expiresMs') },
    ] as const
  })
}
