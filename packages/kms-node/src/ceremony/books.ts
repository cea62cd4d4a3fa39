import { concatBytes } from '@noble/hashes/utils.js'
import {
  attempt,
  authorizationStrength,
  type AuthorizationStrength,
  type CeremonyId,
  type CeremonySpec,
  ceremonyId,
  dealerConfig,
  decodeAll,
  equalBytes,
  memberAt,
  type MemberSignature,
  participantIndex,
  quorum,
  SIGNATURE_BYTES,
  u16,
  u32,
  u8,
  varBytes,
  type VerifyMessage,
  verifyMemberAuthorization,
  verifyTagged,
} from '@tkms/dkg'
import type { RecordStore } from '../ports.ts'
import { createSignatureBook, type SignatureBook } from './signature-book.ts'

/** The AUTH signatures of the old members (protocol 6). */
export interface AuthorizationBook extends SignatureBook {
  /** `none` for a key generation, which needs none; undefined below t_old. */
  strength(spec: CeremonySpec): AuthorizationStrength | undefined
}

export function createAuthorizationBook(store: RecordStore, verify: VerifyMessage): AuthorizationBook {
  const book = createSignatureBook({
    store,
    suffix: '.auth',
    committee: dealerConfig,
    verify: (spec, entry) => verifyMemberAuthorization(verify, spec, entry),
  })
  return {
    ...book,
    strength: (spec) => (spec.kind === 'keygen' ? 'none' : authorizationStrength(verify, spec, book.of(spec))),
  }
}

/** The ABANDONs of the new members (protocol 3): known also where no engine runs, and kept for those who come late. */
export interface AbandonmentBook extends SignatureBook {
  /** Q of them: no certificate exists or ever will. */
  isDecided(spec: CeremonySpec): boolean
  /** The ABANDONs as signed messages. */
  messages(spec: CeremonySpec): readonly Uint8Array[]
}

const ABANDON = 9
const HEADER_BYTES = 40

export function createAbandonmentBook(store: RecordStore, verify: VerifyMessage): AbandonmentBook {
  const book = createSignatureBook({
    store,
    suffix: '.abandon',
    committee: (spec) => spec.newConfig,
    verify: (spec, { index, signature }) => {
      const member = memberAt(spec.newConfig, index)
      return (
        member !== undefined && verifyTagged(verify, member.publicKey, 'abandon', abandonBody(spec, index), signature)
      )
    },
  })
  return {
    ...book,
    isDecided: (spec) => book.of(spec).length >= quorum(spec.newConfig),
    messages: (spec) =>
      book.of(spec).map(({ index, signature }) => concatBytes(varBytes(abandonBody(spec, index)), signature)),
  }
}

/** msgHdr of view 0 (protocol 3). */
const abandonBody = (spec: CeremonySpec, from: number): Uint8Array =>
  concatBytes(u8(ABANDON), u8(1), ceremonyId(spec), u32(0), u16(from))

/** Who signed a message, and in which ceremony, as its header says. Nothing is verified. */
export interface MessageHead {
  readonly type: number
  readonly ceremony: CeremonyId
  readonly from: number
  readonly signature: Uint8Array
}

/** @param signed var body || signature */
export function readHead(signed: Uint8Array): MessageHead | undefined {
  return attempt(() =>
    decodeAll(signed, 'message', (reader) => {
      const body = reader.var(signed.length, 'message.body')
      const signature = reader.take(SIGNATURE_BYTES, 'message.signature')
      return decodeAll(body.subarray(0, HEADER_BYTES), 'header', (header) => {
        const type = header.u8('type')
        header.u8('version')
        const ceremony = header.take(32, 'ceremony') as CeremonyId
        header.u32('view')
        return { type, ceremony, from: header.u16('from'), signature }
      })
    }),
  )
}

/** The ABANDON of this X that these bytes are. */
export function asAbandonment(spec: CeremonySpec, signed: Uint8Array): MemberSignature | undefined {
  const head = readHead(signed)
  if (head?.type !== ABANDON || head.from === 0 || !equalBytes(head.ceremony, ceremonyId(spec))) return undefined
  return { index: participantIndex(head.from), signature: head.signature }
}
