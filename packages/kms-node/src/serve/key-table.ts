import {
  bytesKey,
  type Curve,
  equalBytes,
  type KeyId,
  KmsError,
  type NodePublicKey,
  type ParticipantIndex,
  type PointBytes,
  type Purpose,
  Secret,
  type SharingId,
  type VerifiedKey,
  verificationShare,
} from '@tkms/dkg'

/** A sharing whose share this node lends, without the share. */
export interface ServedKey {
  readonly key: VerifiedKey
  /** This node's place in the committee of the sharing. */
  readonly index: ParticipantIndex
  /** Y_j, computed from the certificate. */
  readonly verificationShare: PointBytes
}

/** How a request for a sharing is answered. */
export type SharingAnswer = 'serve' | 'superseded' | 'no-share'

/** How requests for one key are answered now. Replaced as a whole whenever the life of one of its shares goes on. */
export interface KeyStanding {
  readonly keyId: KeyId
  /** Absent where nothing but the order to destroy the key is known. */
  readonly purpose?: Purpose
  /** Refuses every request for the key. */
  readonly refusal?: 'not-ready' | 'destroyed'
  /** The active one first: it is meant by a request that names none. `serve` of a share that is being erased counts as `superseded`. */
  readonly sharings: readonly { readonly sharingId: SharingId; readonly answer: SharingAnswer }[]
}

/** A share on loan: while it lasts, the share is not erased. */
export interface Loan {
  /** Lends the share to `fn`, which must not keep it. @throws KmsError `secret-destroyed` after `end` of the table */
  readonly use: <T>(fn: (share: Secret) => T) => T
  /** Idempotent. */
  readonly end: () => void
}

export type ShareLookup =
  | {
      readonly kind: 'found'
      readonly served: ServedKey
      /** To be called before the next `await`, and ended whatever happens. */
      readonly borrow: () => Loan
    }
  | {
      readonly kind:
        | 'unknown-key'
        | 'wrong-purpose'
        | 'wrong-sharing'
        | Exclude<SharingAnswer, 'serve'>
        | NonNullable<KeyStanding['refusal']>
    }

/** Finds keys of one purpose only: what the handler of that purpose holds, and nobody else (protocol 0.9, 10.3). */
export interface ShareLender {
  readonly purpose: Purpose
  /** Without a sharingId: the active sharing. */
  find(keyId: KeyId, sharingId: SharingId | undefined): ShareLookup
}

/** The shares in memory. Whether a share is served is the key keeper's word (`arrange`); here it is only kept and lent. */
export interface KeyTable {
  /**
   * Takes a share over, after checking share * G == Y_j against a certificate that the caller verified (protocol 5).
   * A share held for the same sharing is kept, and the new one wiped.
   * @throws KmsError `self-check-failed`, `bad-certificate` where this node is not in the committee; the share is wiped
   */
  hold(key: VerifiedKey, share: Secret): ServedKey
  arrange(standing: KeyStanding): void
  /** Lends the share no more; resolves when nobody has it on loan, and it is wiped. */
  release(sharingId: SharingId): Promise<void>
  held(sharingId: SharingId): ServedKey | undefined
  /** A copy of a held share, for a ceremony of this node; the caller wipes it. */
  copyShare(sharingId: SharingId): Secret | undefined
  lender(purpose: Purpose): ShareLender
  /** Wipes every share. */
  destroy(): void
}

export interface KeyTableOptions {
  readonly curve: Curve
  /** This node's identity. */
  readonly self: NodePublicKey
}

interface HeldShare {
  readonly served: ServedKey
  readonly share: Secret
  loans: number
  /** Set by `release`: called when the last loan ends. */
  drained: (() => void) | undefined
}

export function createKeyTable(options: KeyTableOptions): KeyTable {
  const standings = new Map<string, KeyStanding>()
  const shares = new Map<string, HeldShare>()

  const borrow = (held: HeldShare): Loan => {
    let ended = false
    held.loans++
    return {
      use: (fn) => fn(held.share),
      end: () => {
        if (ended) return
        ended = true
        held.loans--
        if (held.loans === 0) held.drained?.()
      },
    }
  }

  const find = (purpose: Purpose, keyId: KeyId, sharingId: SharingId | undefined): ShareLookup => {
    const standing = standings.get(bytesKey(keyId))
    if (standing === undefined) return { kind: 'unknown-key' }
    if (standing.purpose !== undefined && standing.purpose !== purpose) return { kind: 'wrong-purpose' }
    if (standing.refusal !== undefined) return { kind: standing.refusal }
    const named = standing.sharings.find((sharing, at) =>
      sharingId === undefined ? at === 0 : equalBytes(sharing.sharingId, sharingId),
    )
    if (named === undefined) return { kind: 'wrong-sharing' }
    if (named.answer !== 'serve') return { kind: named.answer }
    const held = shares.get(bytesKey(named.sharingId))
    if (held === undefined || held.drained !== undefined)
      return { kind: named === standing.sharings[0] ? 'no-share' : 'superseded' }
    return { kind: 'found', served: held.served, borrow: () => borrow(held) }
  }

  return {
    hold(key, share) {
      const served = checkShare(options, key, share)
      const id = bytesKey(key.sharingId)
      const known = shares.get(id)
      if (known === undefined) shares.set(id, { served, share: inCommonMemory(share), loans: 0, drained: undefined })
      else share.destroy()
      return served
    },
    arrange: (standing) => void standings.set(bytesKey(standing.keyId), standing),
    async release(sharingId) {
      const id = bytesKey(sharingId)
      const held = shares.get(id)
      if (held === undefined) return
      await new Promise<void>((resolve) => {
        const others = held.drained
        held.drained = () => {
          others?.()
          resolve()
        }
        if (held.loans === 0) held.drained()
      })
      held.share.destroy()
      if (shares.get(id) === held) shares.delete(id)
    },
    held: (sharingId) => shares.get(bytesKey(sharingId))?.served,
    copyShare: (sharingId) => shares.get(bytesKey(sharingId))?.share.use((bytes) => Secret.copyOf(bytes)),
    lender: (purpose) => ({ purpose, find: (keyId, sharingId) => find(purpose, keyId, sharingId) }),
    destroy() {
      for (const { share } of shares.values()) share.destroy()
      shares.clear()
      standings.clear()
    },
  }
}

/**
 * Moves a share to memory that the compute threads of this process can read where it lies: there is one copy, and it is wiped for all
 * of them at once.
 */
function inCommonMemory(share: Secret): Secret {
  try {
    return share.use((bytes) => {
      const common = new Uint8Array(new SharedArrayBuffer(bytes.length))
      common.set(bytes)
      return new Secret(common)
    })
  } finally {
    share.destroy()
  }
}

/** share * G == Y_j, with Y_j computed from the certificate (protocol 5). */
function checkShare({ curve, self }: KeyTableOptions, key: VerifiedKey, share: Secret): ServedKey {
  try {
    const member = key.config.members.find(({ publicKey }) => equalBytes(publicKey, self))
    if (member === undefined)
      throw new KmsError('bad-certificate', 'this node is no member of the committee of the key', {
        data: { keyName: key.keyName },
      })
    const expected = verificationShare(curve, key.commitment, member.index)
    if (!equalBytes(curve.mulBaseSecret(share), expected))
      throw new KmsError('self-check-failed', 'the stored share is not the one of the certificate', {
        data: { keyName: key.keyName },
      })
    return { key, index: member.index, verificationShare: expected }
  } catch (error) {
    share.destroy()
    throw error
  }
}
