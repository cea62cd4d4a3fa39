import { concatBytes } from '@noble/hashes/utils.js'
import {
  bytesKey,
  type CeremonySpec,
  ceremonyId,
  type CommitteeConfig,
  decodeAll,
  list,
  type MemberSignature,
  type ParticipantIndex,
  participantIndex,
  Secret,
  SIGNATURE_BYTES,
  u16,
} from '@tkms/dkg'
import type { RecordStore } from '../ports.ts'
import { createTurns } from '../turns.ts'

/** One kind of signature of the members of one committee over an X: verified, public, durable, at most one of each member. */
export interface SignatureBook {
  /** What an earlier life of this node collected. @throws KmsError `bad-encoding` when the record is damaged */
  load(spec: CeremonySpec): Promise<void>
  /** True when it was new and verifies; durable then. */
  add(spec: CeremonySpec, entry: MemberSignature): Promise<boolean>
  /** Ascending by index. */
  of(spec: CeremonySpec): readonly MemberSignature[]
  missing(spec: CeremonySpec): readonly ParticipantIndex[]
  forget(spec: CeremonySpec): Promise<void>
}

export interface SignatureBookParams {
  readonly store: RecordStore
  /** Of the record's id. */
  readonly suffix: string
  readonly committee: (spec: CeremonySpec) => CommitteeConfig
  readonly verify: (spec: CeremonySpec, entry: MemberSignature) => boolean
}

export function createSignatureBook({ store, suffix, committee, verify }: SignatureBookParams): SignatureBook {
  const books = new Map<string, readonly MemberSignature[]>()
  const inTurn = createTurns()
  const idOf = (spec: CeremonySpec): string => `${bytesKey(ceremonyId(spec))}${suffix}`
  const of = (spec: CeremonySpec): readonly MemberSignature[] => books.get(idOf(spec)) ?? []

  const write = async (id: string, entries: readonly MemberSignature[]): Promise<void> => {
    const record = new Secret(list(entries, ({ index, signature }) => concatBytes(u16(index), signature)))
    try {
      await store.put('approval', id, record)
    } finally {
      record.destroy()
    }
    books.set(id, entries)
  }

  return {
    load: async (spec) => {
      const record = await store.get('approval', idOf(spec))
      if (record !== undefined) books.set(idOf(spec), record.use(decodeEntries))
      record?.destroy()
    },
    add: (spec, entry) =>
      inTurn(async () => {
        const known = of(spec)
        if (known.some(({ index }) => index === entry.index) || !verify(spec, entry)) return false
        const entries = [...known, entry].toSorted((left, right) => left.index - right.index)
        await write(idOf(spec), entries)
        return true
      }),
    of,
    missing: (spec) => {
      const signed = new Set<number>(of(spec).map(({ index }) => index))
      return committee(spec)
        .members.map(({ index }) => index)
        .filter((index) => !signed.has(index))
    },
    forget: async (spec) => {
      books.delete(idOf(spec))
      await store.erase('approval', idOf(spec))
    },
  }
}

const decodeEntries = (bytes: Uint8Array): readonly MemberSignature[] =>
  decodeAll(bytes, 'signatures', (reader) =>
    reader.list({ min: 0, max: 64 }, 'signatures', (item) => ({
      index: participantIndex(item.u16('signatures.index')),
      signature: item.take(SIGNATURE_BYTES, 'signatures.signature'),
    })),
  )
