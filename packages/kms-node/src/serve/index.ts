export { NO_QUOTES, type QuoteVerifiers } from '../attest/open-verifier.ts'
/** The entry `@tkms/kms-node/serve`: the serving path of a node without its process, for measurements and embedding. */
export { type ChainReader, createChainReader, NO_CHAINS } from '../chain/chain-reader.ts'
export { createAuditDatabase } from '../audit/database.ts'
export { createLedger, type Ledger, type LedgerOptions } from '../audit/ledger.ts'
export { createLogKey } from '../audit/log-key.ts'
export { createSigner } from '../identity/ed25519-signer.ts'
export { parsePolicy } from '../policy/policy-file.ts'
export { createQuotaBook } from '../policy/quota-rule.ts'
export { createSignatureVerifier } from '../policy/signature-verifier.ts'
export { systemClock, systemRng } from '../system.ts'
export { createKeyTable, type KeyTable, type KeyTableOptions, type ServedKey, type ShareLender } from './key-table.ts'
export { createRequesterVerifier, type RequesterVerifier } from './requester.ts'
export {
  createDelegationPipeline,
  type DelegationCall,
  type DelegationEvent,
  type DelegationPipeline,
  type DelegationResult,
  type PipelineOptions,
} from './pipeline.ts'
export type { ReleaseEntry, ReleaseLedger, ReleaseOutcome } from './release-ledger.ts'
export { createWorkerPool, type WorkerPool, type WorkerPoolOptions } from './workers/worker-pool.ts'
