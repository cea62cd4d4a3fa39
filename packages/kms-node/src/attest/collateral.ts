/**
 * What Intel publishes about a platform, in the shape of `@phala/dcap-qvl` and of the sample beside its quotes:
 * PEM chains, signed JSON as it was signed, DER and raw signatures in hex.
 */
export interface Collateral {
  readonly pck_crl_issuer_chain: string
  readonly root_ca_crl: string
  readonly pck_crl: string
  readonly tcb_info_issuer_chain: string
  readonly tcb_info: string
  readonly tcb_info_signature: string
  readonly qe_identity_issuer_chain: string
  readonly qe_identity: string
  readonly qe_identity_signature: string
}

/** Which collateral a quote needs. */
export interface CollateralQuery {
  /** 6 bytes in lower-case hex: the platform's family, model, stepping, platform type and custom SKU. */
  readonly fmspc: string
  /** Which of Intel's authorities issued the platform's certificate. */
  readonly ca: 'processor' | 'platform'
  readonly tee: 'tdx' | 'sgx'
}

/** Where collateral comes from. */
export interface CollateralSource {
  /** @throws KmsError `collateral-unavailable` */
  get(query: CollateralQuery, signal: AbortSignal): Promise<Collateral>
}
