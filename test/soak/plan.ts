/** What a client process is told when it starts, and the messages between it and the soak. */

export interface ClientPlan {
  readonly transport: 'http' | 'libp2p'
  /** A cluster file's parsed content. */
  readonly cluster: unknown
  readonly key: string
  /** Hex, 32 bytes each: of the client, and of a stranger whose envelopes it may not open. */
  readonly seed: string
  readonly strangerSeed: string
}

export type Order =
  /** Opens so many envelopes in batches, each of which is on record in the nodes' logs, and comes and goes as other clients. */
  | { readonly kind: 'fill'; readonly envelopes: number }
  /** Asks so much at once, as fast as answers come. */
  | { readonly kind: 'saturate'; readonly underWay: number }
  /** Asks at this rate, whether answers come or not. */
  | { readonly kind: 'pace'; readonly perSecond: number }
  /** Asks no more, waits for what is under way, and reports. */
  | { readonly kind: 'rest' }

/** Of everything since the last report. */
export interface Report {
  readonly kind: 'rested'
  /** Calls that ended as they had to: opened, refused, or cancelled. */
  readonly done: number
  readonly failures: readonly string[]
  readonly medianMs: number
}
