import { concatBytes } from '@noble/hashes/utils.js'
import {
  type CeremonySpec,
  decodeAll,
  decodeSpec,
  encodeSpec,
  KmsError,
  list,
  SIGNATURE_BYTES,
  u8,
  varBytes,
} from '@tkms/dkg'
import { MAX_SPEC_FRAME_BYTES } from '../net/frame-caps.ts'

/** What another member told of one X to this node, which was restored. */
export interface ToldSpec {
  readonly spec: CeremonySpec
  /** This node's own AUTH over X, verified, 64 bytes. Without it X is doubtful. */
  readonly authorization?: Uint8Array | undefined
}

/**
 * Doubtful X that one peer may bring here, for ever: nobody can tell whether they are made up. Those of 63 peers fit into the record of one
 * slot (`@tkms/dkg`, slot.ts) twice.
 */
export const MAX_DOUBTFUL_PER_PEER = 32
const MAX_TOLD = 4096

/** u8 1 || list(var X || u8 flag || [AUTH(64)]). */
export const encodeTold = (told: readonly ToldSpec[]): Uint8Array =>
  concatBytes(
    u8(1),
    list(told, ({ spec, authorization }) =>
      concatBytes(
        varBytes(encodeSpec(spec)),
        u8(authorization === undefined ? 0 : 1),
        authorization ?? new Uint8Array(0),
      ),
    ),
  )

/** @throws KmsError `bad-encoding` */
export const decodeTold = (bytes: Uint8Array): readonly ToldSpec[] =>
  decodeAll(bytes, 'told', (reader) => {
    if (reader.u8('told.version') !== 1)
      throw new KmsError('bad-encoding', 'a record of what was told, of another version')
    return reader.list({ min: 0, max: MAX_TOLD }, 'told.entries', (entry) => {
      const spec = decodeSpec(entry.var(MAX_SPEC_FRAME_BYTES, 'told.spec'))
      const isSigned = entry.u8('told.flag') === 1
      return isSigned ? { spec, authorization: entry.take(SIGNATURE_BYTES, 'told.authorization') } : { spec }
    })
  })
