/** The parts of `@phala/dcap-qvl` that judge quotes, without the one that fetches over the network. */
declare module '@phala/dcap-qvl/src/verify.js' {
  export { QuoteVerifier } from '@phala/dcap-qvl'
}
declare module '@phala/dcap-qvl/src/quote.js' {
  export { Quote } from '@phala/dcap-qvl'
}
declare module '@phala/dcap-qvl/src/utils.js' {
  import type { utils } from '@phala/dcap-qvl'
  export const getIntelExtension: (certificate: Uint8Array) => Buffer
  export const getFmspc: typeof utils.getFmspc
}
declare module '@phala/dcap-qvl/src/constants.js' {
  export const TRUSTED_ROOT_CA_DER: Buffer
}
