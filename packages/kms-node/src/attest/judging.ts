/** Everything that judges quotes, to be loaded by commands that do. */
export { askCluster } from './ask-cluster.ts'
export { checkReport } from './check-report.ts'
export { describeMeasurement } from './measurements.ts'
export { openVerifier } from './open-verifier.ts'
export { parseQuote } from './quote.ts'
