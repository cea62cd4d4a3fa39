import {
  bytesKey,
  createErased,
  equalBytes,
  type KeyId,
  type NodePublicKey,
  type ParticipantIndex,
  type SignMessage,
  type VerifiedKey,
  verifyErased,
  type VerifyMessage,
} from '@tkms/dkg'
import type { KeyKeeper, KeyLife } from './keeper-types.ts'

/** Past epochs of a key that peers are told of when they connect. */
const MAX_TOLD_EPOCHS = 16

/** Who says that it erased its share of which epoch (protocol 8.4). Kept in memory: everybody says it again on every connection. */
export interface ErasedNotices {
  /** This node's own, signed, for the last sixteen epochs of every key, or of one, that are erased here. */
  own(keyId?: KeyId): readonly Uint8Array[]
  /** False when it is nobody's word about a sharing that is known here. */
  take(message: Uint8Array): boolean
  /** The members of a past sharing that have not said so, ascending. */
  missing(sharing: VerifiedKey): readonly ParticipantIndex[]
}

export function createErasedNotices(ports: {
  readonly keeper: Pick<KeyKeeper, 'list'>
  readonly verify: VerifyMessage
  readonly sign: SignMessage
  /** This node's identity. */
  readonly self: NodePublicKey
}): ErasedNotices {
  const { keeper, verify, sign, self } = ports
  /** sharingId -> who. */
  const said = new Map<string, Set<number>>()
  const keysOf = (keyId: KeyId): readonly VerifiedKey[] =>
    (keeper.list().find((life) => equalBytes(life.keyId, keyId)) ?? { sharings: [] }).sharings.map(
      ({ sharing }) => sharing.key,
    )
  const ownIndex = (key: VerifiedKey): ParticipantIndex | undefined =>
    key.config.members.find(({ publicKey }) => equalBytes(publicKey, self))?.index

  /** An attempt that another one replaced has no successor of its own: nothing is said about it. */
  const noticesOf = ({ sharings }: KeyLife): readonly Uint8Array[] => {
    const keys = sharings.map(({ sharing }) => sharing.key)
    const erased = sharings.filter(({ sharing, state }) => state === 'erased' && sharing.isMember)
    return erased.slice(0, MAX_TOLD_EPOCHS).flatMap(({ sharing: { key } }) => {
      const successor = keys.find(
        ({ prevOutcome }) => prevOutcome !== undefined && equalBytes(prevOutcome, key.sharingId),
      )
      const index = ownIndex(key)
      return successor === undefined || index === undefined ? [] : [createErased(sign, successor, index)]
    })
  }

  return {
    own: (wanted) =>
      keeper
        .list()
        .filter(
          ({ keyId, destroyedAtMs }) =>
            destroyedAtMs === undefined && (wanted === undefined || equalBytes(keyId, wanted)),
        )
        .flatMap(noticesOf),
    take: (message) => {
      const keys = keysOf(message.slice(0, 32) as KeyId)
      const statement = verifyErased(verify, keys, message)
      const successor = statement && keys.find(({ sharingId }) => equalBytes(sharingId, statement.successor))
      if (statement === undefined || successor?.prevOutcome === undefined) return false
      const name = bytesKey(successor.prevOutcome)
      said.set(name, (said.get(name) ?? new Set<number>()).add(statement.from))
      return true
    },
    missing: ({ sharingId, config, keyId }) => {
      const own = keeper
        .list()
        .find((life) => equalBytes(life.keyId, keyId))
        ?.sharings.find(({ sharing }) => equalBytes(sharing.key.sharingId, sharingId))
      const erasedHere = own?.state === 'erased' ? ownIndex(own.sharing.key) : undefined
      const heard = said.get(bytesKey(sharingId)) ?? new Set<number>()
      return config.members.map(({ index }) => index).filter((index) => index !== erasedHere && !heard.has(index))
    },
  }
}
