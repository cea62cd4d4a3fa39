import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, equalBytes, list, type Reader, u16, u32, u8, varBytes } from '../primitives/codec.ts'
import { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex, SharingId } from '../primitives/types.ts'
import { MAX_CERTIFICATE_BYTES } from './certificate.ts'
import { FAULT_KINDS, type FaultKind } from './evidence.ts'
import { readIndex } from './messages.ts'
import type { DealingSecrets, ReceiverSecrets } from './seeds.ts'
import { decodeSigned, MAX_SIGNED_MESSAGE_BYTES, type SignedMessage } from './signed-message.ts'
import type { CeremonyState, Inbox, Phase, Prepared, Standing } from './state.ts'

/**
 * The whole state of a ceremony as bytes: view, phase, secrets, the sent-slot table, inboxes, proven faults. Sealed by the driver.
 * What a reader may trust: only the driver's own sealed bytes come back, so signatures are not checked again.
 */
const SNAPSHOT_VERSION = 2
const PHASES = [
  'seeding',
  'joining',
  'dealing',
  'vouching',
  'observing',
  'dealt',
  'reproposing',
  'voting',
  'committing',
  'left',
  'fetching',
  'complete',
  'archived',
  'abandoned',
] as const satisfies readonly Phase['name'][]
const STANDINGS: readonly Standing[] = ['active', 'abandoned', 'superseded']
const MAX_MESSAGES = 0xffffff

/** What a snapshot holds, before the engine builds a state from it. */
export interface Snapshot {
  readonly view: number
  readonly phase: Phase['name']
  readonly standing: Standing
  readonly wantsToAbandon: boolean
  readonly dealing: DealingSecrets | undefined
  readonly receiverKeys: readonly { readonly view: number; readonly secrets: ReceiverSecrets }[]
  readonly prepared: readonly Prepared[]
  readonly outcome: SharingId | undefined
  readonly cert1: Uint8Array | undefined
  readonly certificate: Uint8Array | undefined
  readonly share: Secret | undefined
  readonly sent: readonly { readonly slot: string; readonly message: SignedMessage }[]
  readonly inbox: readonly SignedMessage[]
  readonly past: readonly { readonly view: number; readonly messages: readonly SignedMessage[] }[]
  readonly lastJoins: readonly SignedMessage[]
  readonly lastCommits: readonly SignedMessage[]
  readonly abandons: readonly SignedMessage[]
  readonly faults: readonly {
    readonly culprit: ParticipantIndex
    readonly kind: FaultKind
    readonly evidence: Uint8Array
  }[]
  readonly equivocations: readonly (readonly SignedMessage[])[]
}

/** Secrets on their way into one buffer: `encodeSnapshot` wipes every copy made on the way. */
class SecretParts {
  readonly #copies: Uint8Array[] = []

  copy(secret: Secret): Uint8Array {
    return this.#keep(secret.use((bytes) => Uint8Array.from(bytes)))
  }

  list<T>(items: readonly T[], encode: (item: T) => readonly Uint8Array[]): Uint8Array {
    return this.#keep(list(items, (item) => this.#keep(concatBytes(...encode(item)))))
  }

  dealing = ({ coefficients, ephemeral, nonce, auxA, auxR }: DealingSecrets): readonly Uint8Array[] => [
    u16(coefficients.length),
    ...[...coefficients, ephemeral, nonce, auxA, auxR].map((secret) => this.copy(secret)),
  ]

  wipe(): void {
    for (const bytes of this.#copies) bytes.fill(0)
  }

  #keep(bytes: Uint8Array): Uint8Array {
    this.#copies.push(bytes)
    return bytes
  }
}

const encodeMessages = (messages: Iterable<SignedMessage>): Uint8Array => {
  const all = [...messages]
  return concatBytes(u32(all.length), ...all.map(({ bytes }) => varBytes(bytes)))
}

/** Everything in an inbox, in the order in which it may be put back. */
function* messagesOf(inbox: Inbox): Generator<SignedMessage> {
  yield* inbox.joins.values()
  if (inbox.joinset !== undefined) yield inbox.joinset
  for (const variants of inbox.deals.values()) yield* variants.values()
  yield* inbox.vouches.values()
  for (const byDealer of inbox.complaints.values()) yield* byDealer.values()
  if (inbox.propose !== undefined) yield inbox.propose
  yield* inbox.votes.values()
  yield* inbox.commits.values()
}

const optionalBytes = (bytes: Uint8Array | undefined): Uint8Array =>
  bytes === undefined ? u8(0) : concatBytes(u8(1), varBytes(bytes))

/** Everything a restart needs. The returned secret is the caller's to destroy. */
export function encodeSnapshot(state: CeremonyState): Secret {
  const { phase } = state
  const parts = new SecretParts()
  const dealing = 'dealing' in phase && phase.dealing !== undefined ? [phase.dealing] : []
  const share = 'share' in phase && phase.share !== undefined ? [phase.share] : []
  const snapshot = concatBytes(
    u8(SNAPSHOT_VERSION),
    state.ceremony,
    u32(state.view),
    u8(PHASES.indexOf(phase.name)),
    u8(STANDINGS.indexOf(state.standing)),
    u8(state.wantsToAbandon ? 1 : 0),
    parts.list(dealing, parts.dealing),
    parts.list([...state.receiverKeys], ([view, { key, aux }]) => [u32(view), parts.copy(key), parts.copy(aux)]),
    parts.list([...state.prepared.values()], ({ outcome, share: held }) => [outcome, parts.copy(held)]),
    parts.list(share, (held) => [parts.copy(held)]),
    optionalBytes('outcome' in phase && phase.name !== 'fetching' ? phase.outcome : undefined),
    optionalBytes(state.cert1?.bytes),
    optionalBytes('key' in phase ? phase.key.certificate : undefined),
    list([...state.sent], ([slot, message]) => concatBytes(varBytes(utf8ToBytes(slot)), varBytes(message.bytes))),
    encodeMessages(messagesOf(state.inbox)),
    list([...state.past], ([view, record]) => concatBytes(u32(view), encodeMessages(messagesOf(record.inbox)))),
    encodeMessages(state.lastJoins.values()),
    encodeMessages(state.lastCommits.values()),
    encodeMessages(state.abandons.values()),
    list([...state.faults.values()], ({ culprit, kind, evidence }) =>
      concatBytes(u16(culprit), u8(FAULT_KINDS.indexOf(kind)), varBytes(evidence)),
    ),
    list([...state.equivocations.values()], encodeMessages),
  )
  parts.wipe()
  return new Secret(snapshot)
}

/** @throws KmsError `bad-encoding` when the bytes are not a snapshot of this ceremony */
export function decodeSnapshot(ceremony: Uint8Array, snapshot: Secret): Snapshot {
  return snapshot.use((bytes) =>
    decodeAll(bytes, 'snapshot', (reader) => {
      if (reader.u8('version') !== SNAPSHOT_VERSION) throw dkgError('bad-encoding', 'unknown snapshot version')
      if (!equalBytes(reader.take(32, 'ceremony'), ceremony))
        throw dkgError('bad-encoding', 'this snapshot belongs to another ceremony')
      return {
        view: reader.u32('view'),
        phase: readName(reader, PHASES, 'phase'),
        standing: readName(reader, STANDINGS, 'standing'),
        wantsToAbandon: reader.u8('wantsToAbandon') === 1,
        dealing: readList(reader, 'dealing', readDealing)[0],
        receiverKeys: readList(reader, 'receiverKeys', (item) => ({
          view: item.u32('view'),
          secrets: { key: readSecret(item, 'key'), aux: readSecret(item, 'aux') },
        })),
        prepared: readList(reader, 'prepared', (item) => ({
          outcome: item.take(32, 'outcome') as SharingId,
          share: readSecret(item, 'share'),
        })),
        share: readList(reader, 'share', (item) => readSecret(item, 'share'))[0],
        outcome: readOptional(reader, 32, 'outcome') as SharingId | undefined,
        cert1: readOptional(reader, MAX_SIGNED_MESSAGE_BYTES, 'cert1'),
        certificate: readOptional(reader, MAX_CERTIFICATE_BYTES, 'certificate'),
        sent: readList(reader, 'sent', (item) => ({
          slot: String.fromCharCode(...item.var(64, 'slot')),
          message: readMessage(item),
        })),
        inbox: readMessages(reader),
        past: readList(reader, 'past', (item) => ({ view: item.u32('view'), messages: readMessages(item) })),
        lastJoins: readMessages(reader),
        lastCommits: readMessages(reader),
        abandons: readMessages(reader),
        faults: readList(reader, 'faults', (item) => ({
          culprit: readIndex(item, 'culprit'),
          kind: readName(item, FAULT_KINDS, 'kind'),
          evidence: item.var(MAX_EVIDENCE_BYTES, 'evidence'),
        })),
        equivocations: readList(reader, 'equivocations', readMessages),
      }
    }),
  )
}

/** Evidence carries at most a PROPOSE with the dealings of QUAL, or two JOINSETs. */
const MAX_EVIDENCE_BYTES = 16 * 1024 * 1024

function readName<T>(reader: Reader, names: readonly T[], field: string): T {
  const name = names[reader.u8(field)]
  if (name === undefined) throw dkgError('bad-encoding', `unknown ${field} in a snapshot`)
  return name
}

const readList = <T>(reader: Reader, field: string, decode: (reader: Reader) => T): T[] =>
  reader.list({ min: 0, max: 0xffff }, field, decode)

const readOptional = (reader: Reader, max: number, field: string): Uint8Array | undefined =>
  reader.u8(field) === 1 ? reader.var(max, field) : undefined

const readSecret = (reader: Reader, field: string): Secret => new Secret(reader.take(32, field))

const readMessage = (reader: Reader): SignedMessage => decodeSigned(reader.var(MAX_SIGNED_MESSAGE_BYTES, 'message'))

function readMessages(reader: Reader): SignedMessage[] {
  const count = reader.u32('messages')
  if (count > MAX_MESSAGES) throw dkgError('bad-encoding', 'a snapshot has too many messages')
  return Array.from({ length: count }, () => readMessage(reader))
}

function readDealing(reader: Reader): DealingSecrets {
  return {
    coefficients: reader.list({ min: 1, max: 64 }, 'coefficients', (item) => readSecret(item, 'coefficient')),
    ephemeral: readSecret(reader, 'ephemeral'),
    nonce: readSecret(reader, 'nonce'),
    auxA: readSecret(reader, 'auxA'),
    auxR: readSecret(reader, 'auxR'),
  }
}
