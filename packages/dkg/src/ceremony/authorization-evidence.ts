import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { attempt, decodeAll, equalBytes, list, u16, u8, varBytes } from '../primitives/codec.ts'
import { SIGNATURE_BYTES, type VerifyMessage } from '../primitives/ed25519.ts'
import { participantIndex } from '../primitives/point.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { verifyAuthorization } from './authorization.ts'
import { type CeremonySpec, decodeSpec, encodeSpec, MAX_SPEC_BYTES, memberAt, slotId } from './config.ts'
import type { Judgement } from './evidence.ts'
import { type Fault, FAULT_SUMMARIES } from './fault.ts'

/** E2 by AUTH: one member authorized two different X in one (slot, attempt) (protocol 5, 7). */

/** The code of this evidence behind the version byte. */
export const DOUBLE_AUTHORIZATION_CODE = 9

/** One member's AUTH with the X it is about. */
export interface SignedSpec {
  readonly spec: CeremonySpec
  readonly signature: Uint8Array
}

/** u8 1 || u8 9 || u16 index || list(var X || signature), two entries. */
export const encodeDoubleAuthorization = (
  index: ParticipantIndex,
  pair: readonly [SignedSpec, SignedSpec],
): Uint8Array =>
  concatBytes(
    u8(1),
    u8(DOUBLE_AUTHORIZATION_CODE),
    u16(index),
    list(pair, ({ spec, signature }) => concatBytes(varBytes(encodeSpec(spec)), signature)),
  )

/** Whether an honest member may have signed only one of them. */
function excludeEachOther(first: CeremonySpec, second: CeremonySpec): boolean {
  return (
    first.attempt === second.attempt &&
    equalBytes(slotId(first), slotId(second)) &&
    !equalBytes(encodeSpec(first), encodeSpec(second))
  )
}

/**
 * The fault of a member whose two AUTHs exclude each other; undefined when they do not, or one is not its own.
 * @param index as the AUTHs name it
 */
export function doubleAuthorization(
  verify: VerifyMessage,
  index: ParticipantIndex,
  first: SignedSpec,
  second: SignedSpec,
): Fault | undefined {
  const own = [first, second].every(({ spec, signature }) => verifyAuthorization(verify, spec, { index, signature }))
  if (!own || !excludeEachOther(first.spec, second.spec)) return undefined
  const evidence = encodeDoubleAuthorization(index, [first, second])
  return { culprit: index, kind: 'E2', certainty: 'proven', summary: FAULT_SUMMARIES.E2, evidence }
}

/** Judges such evidence; undefined when the bytes prove nothing. */
export function judgeDoubleAuthorization(verify: VerifyMessage, bytes: Uint8Array): Judgement | undefined {
  const decoded = attempt(() => decodeDoubleAuthorization(bytes))
  if (decoded === undefined) return undefined
  const { index, first, second } = decoded
  if (doubleAuthorization(verify, index, first, second) === undefined) return undefined
  const committees = [first, second].flatMap(({ spec }) =>
    spec.kind === 'keygen' ? [] : [spec.oldConfig, spec.newConfig],
  )
  const [one, other] = [first, second].map(({ spec }) =>
    spec.kind === 'keygen' ? undefined : memberAt(spec.oldConfig, index),
  )
  // The same index must be the same identity in both, or two nodes signed.
  if (one === undefined || other === undefined || !equalBytes(one.publicKey, other.publicKey)) return undefined
  return { kind: 'E2', culprit: one, committees, certificates: [] }
}

function decodeDoubleAuthorization(bytes: Uint8Array): {
  readonly index: ParticipantIndex
  readonly first: SignedSpec
  readonly second: SignedSpec
} {
  return decodeAll(bytes, 'evidence', (reader) => {
    if (reader.u8('version') !== 1 || reader.u8('kind') !== DOUBLE_AUTHORIZATION_CODE)
      throw dkgError('bad-encoding', 'not evidence of two AUTHs')
    const index = participantIndex(reader.u16('index'))
    const [first, second] = reader.list({ min: 2, max: 2 }, 'AUTH', (item) => ({
      spec: decodeSpec(item.var(MAX_SPEC_BYTES, 'X')),
      signature: item.take(SIGNATURE_BYTES, 'signature'),
    }))
    if (first === undefined || second === undefined) throw dkgError('bad-encoding', 'two AUTHs are needed')
    return { index, first, second }
  })
}
