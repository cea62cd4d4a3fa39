import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, equalBytes, list, type Reader, u16, u32, u8, varBytes } from '../primitives/codec.ts'
import { Secret } from '../primitives/secret.ts'
import type { SharingId } from '../primitives/types.ts'
import type { DealingSecrets, ReceiverSecrets } from './seeds.ts'
import { decodeSigned, MAX_SIGNED_MESSAGE_BYTES, type SignedMessage } from './signed-message.ts'
import type { CeremonyState, Phase, Prepared } from './state.ts'
import { MAX_CERTIFICATE_BYTES } from './certificate.ts'

/**
 * The whole state of a ceremony as bytes: phase, its secrets, the sent-slot table, the inbox. Sealed by the driver.
 * u8 1 || ceremony(32) || u32 view || u8 phase || secrets || list(var slot || var message) || u32 count || count * var message
 */
const SNAPSHOT_VERSION = 1
const PHASES = [
  'seeding',
  'joining',
  'dealing',
  'vouching',
  'observing',
  'voting',
  'committing',
  'left',
  'fetching',
  'complete',
  'archived',
] as const

/** What a snapshot holds, before the engine builds a state from it. */
export interface Snapshot {
  readonly view: number
  readonly phase: Phase['name']
  readonly receiver: ReceiverSecrets | undefined
  readonly dealing: DealingSecrets | undefined
  readonly prepared: Prepared | undefined
  readonly certificate: Uint8Array | undefined
  readonly share: Secret | undefined
  readonly sent: readonly { readonly slot: string; readonly message: SignedMessage }[]
  readonly inbox: readonly Uint8Array[]
}

const readOptional = <T>(reader: Reader, field: string, decode: () => T): T | undefined =>
  reader.u8(field) === 1 ? decode() : undefined

const readSecret = (reader: Reader, field: string): Secret => new Secret(reader.take(32, field))

/** Secrets on their way into one buffer: `encodeSnapshot` wipes every copy made on the way. */
class SecretParts {
  readonly #copies: Uint8Array[] = []

  copy(secret: Secret): Uint8Array {
    return this.#keep(secret.use((bytes) => Uint8Array.from(bytes)))
  }

  optional<T>(value: T | undefined, encode: (value: T) => readonly Uint8Array[]): Uint8Array {
    return value === undefined ? u8(0) : this.#keep(concatBytes(u8(1), ...encode(value)))
  }

  receiver = ({ key, aux }: ReceiverSecrets): readonly Uint8Array[] => [this.copy(key), this.copy(aux)]

  prepared = ({ outcome, share }: Prepared): readonly Uint8Array[] => [outcome, this.copy(share)]

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

/** The inbox in the order in which it may be taken in again: what came first in a slot before what proves an equivocation. */
function* messagesOf({ inbox, equivocations }: CeremonyState): Generator<SignedMessage> {
  yield* inbox.joins.values()
  if (inbox.joinset !== undefined) yield inbox.joinset
  for (const variants of inbox.deals.values()) yield* variants.values()
  yield* inbox.vouches.values()
  for (const byDealer of inbox.complaints.values()) yield* byDealer.values()
  if (inbox.propose !== undefined) yield inbox.propose
  yield* inbox.votes.values()
  yield* inbox.commits.values()
  for (const messages of equivocations.values()) yield* messages
}

/** Everything a restart needs. The returned secret is the caller's to destroy. */
export function encodeSnapshot(state: CeremonyState): Secret {
  const { phase } = state
  const messages = [...messagesOf(state)]
  const parts = new SecretParts()
  const snapshot = concatBytes(
    u8(SNAPSHOT_VERSION),
    state.ceremony,
    u32(state.view),
    u8(PHASES.indexOf(phase.name)),
    parts.optional('receiver' in phase ? phase.receiver : undefined, parts.receiver),
    parts.optional('dealing' in phase ? phase.dealing : undefined, parts.dealing),
    parts.optional('prepared' in phase ? phase.prepared : undefined, parts.prepared),
    parts.optional('key' in phase ? phase.key.certificate : undefined, (certificate) => [varBytes(certificate)]),
    parts.optional('share' in phase ? phase.share : undefined, (share) => [parts.copy(share)]),
    list([...state.sent], ([slot, message]) => concatBytes(varBytes(utf8ToBytes(slot)), varBytes(message.bytes))),
    u32(messages.length),
    ...messages.map((message) => varBytes(message.bytes)),
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
      const view = reader.u32('view')
      const phase = PHASES[reader.u8('phase')]
      if (phase === undefined) throw dkgError('bad-encoding', 'unknown phase')
      return {
        view,
        phase,
        receiver: readOptional(reader, 'receiver', () => ({
          key: readSecret(reader, 'key'),
          aux: readSecret(reader, 'aux'),
        })),
        dealing: readOptional(reader, 'dealing', () => readDealing(reader)),
        prepared: readOptional(reader, 'prepared', () => ({
          outcome: reader.take(32, 'outcome') as SharingId,
          share: readSecret(reader, 'share'),
        })),
        certificate: readOptional(reader, 'certificate', () => reader.var(MAX_CERTIFICATE_BYTES, 'certificate')),
        share: readOptional(reader, 'share', () => readSecret(reader, 'share')),
        sent: reader.list({ min: 0, max: 0xffff }, 'sent', (item) => ({
          slot: String.fromCharCode(...item.var(64, 'slot')),
          message: decodeSigned(item.var(MAX_SIGNED_MESSAGE_BYTES, 'message')),
        })),
        inbox: Array.from({ length: reader.u32('inbox') }, () => reader.var(MAX_SIGNED_MESSAGE_BYTES, 'message')),
      }
    }),
  )
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
