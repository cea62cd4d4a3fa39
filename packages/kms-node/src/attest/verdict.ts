/** Which kind of trusted machine signed a quote. */
export type Tee = 'tdx' | 'sgx' | 'sev-snp'

/** Why a quote is not taken. The words stand in metrics, logs and refusals; texts beside them are for people only. */
export type RefusalReason =
  /** No quote that this build reads; SEV-SNP reports are among them. */
  | 'malformed'
  /** A signature of the quote, its certificates or its collateral does not verify. */
  | 'signature'
  /** The quote was made for something else: another node, cluster, nonce or connection. */
  | 'report-data'
  /** What runs there is on no allow list. */
  | 'measurement'
  /** The machine lets its host look inside. */
  | 'debug'
  /** A certificate or a piece of collateral is not valid at this time. */
  | 'expired'
  | 'revoked'
  /** The platform's TCB has a status that the policy does not take. */
  | 'tcb'
  /** No collateral for the platform was to be had. */
  | 'collateral'
  /** The quote was shown before, or on another connection. */
  | 'replayed'
  /** No quote was given where one is needed. */
  | 'missing'

/** What became of a quote. */
export type AttestationVerdict =
  | {
      readonly kind: 'accepted'
      readonly tee: Tee
      /** Name of the allow-list entry. */
      readonly measurement: string
      /** Intel's word, such as `UpToDate`. */
      readonly tcbStatus: string
      /** When the first certificate or piece of collateral behind it runs out: Unix milliseconds. */
      readonly expiresMs: number
    }
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly detail: string }

export type AttestationRefusal = Extract<AttestationVerdict, { kind: 'refused' }>

export const refusedQuote = (reason: RefusalReason, detail: string): AttestationRefusal => ({
  kind: 'refused',
  reason,
  detail,
})
