import type { NodePublicKey, Purpose, Secret } from '@tkms/dkg'

interface ProposeCommon {
  readonly keyName: string
  /** Nodes do not start after this many seconds from now; default one day. */
  readonly lifetimeS?: number | undefined
}

/** A new key. */
export interface ProposeKeygen extends ProposeCommon {
  readonly kind: 'keygen'
  readonly purpose: Purpose
  /** Default: the first one. A name that has a key already needs its next generation named, or `rotate`. */
  readonly generation?: number | undefined
  /** The next generation of an existing key, by the committee that holds its newest one. */
  readonly rotate?: boolean | undefined
  /** By the committee that holds this key; default: the one that holds the name already, else the one the cluster was made with. */
  readonly like?: string | undefined
}

/** A node as its card describes it. */
export interface NewMember {
  readonly name: string
  readonly publicKey: NodePublicKey
  readonly multiaddrs: readonly string[]
  readonly url: string
  readonly tlsSpkiSha256?: Uint8Array
}

/** New shares of an existing key: the same committee (refresh), or another one. */
export interface ProposeReshare extends ProposeCommon {
  readonly kind: 'reshare'
  /** Default: the newest. */
  readonly generation?: number | undefined
  /** Names of nodes in the address book, or nodes that are new to the cluster. */
  readonly add?: readonly (string | NewMember)[] | undefined
  /** Names or indices of members. */
  readonly remove?: readonly string[] | undefined
  /** Default: as it is. */
  readonly threshold?: number | undefined
  /** The operator confirms that fewer nodes than before will be enough to decrypt. */
  readonly lowerThreshold?: boolean | undefined
  /** This node acts on an AUTH of fewer than Q_old members. */
  readonly degraded?: boolean | undefined
  /** Give the open attempt of this epoch up for this one (protocol 3, way 2). */
  readonly supersede?: boolean | undefined
}

/** An existing key that this node alone holds comes to the committee (protocol 13 f). */
export interface ProposeImport extends ProposeCommon {
  readonly kind: 'import'
  readonly purpose: Purpose
  readonly generation?: number | undefined
  /** As in `ProposeKeygen`; this node is a member of it. */
  readonly like?: string | undefined
  /** 32 bytes; borrowed. */
  readonly key: Secret
}

export type ProposeInput = ProposeKeygen | ProposeReshare | ProposeImport

export interface ApproveInput {
  /** Act on an AUTH of fewer than Q_old members (protocol 6): their operators vouch for the new committee instead. */
  readonly degraded?: boolean | undefined
  /** Fewer nodes than before will be enough to decrypt. */
  readonly lowerThreshold?: boolean | undefined
}
