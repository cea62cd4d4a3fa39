export type { NodeAnswer, ProofMode } from './ask-nodes.ts'
export {
  allOf,
  anyOf,
  KmsError,
  type PolicyExpression,
  type Principal,
  Secret,
  type Statement,
  type TypedData,
} from '@tkms/dkg'
export type * from './client-types.ts'
export { createKmsClient } from './client.ts'
export type { DecryptOutcome } from './decrypt-many.ts'
export type { EncryptOptions, EncryptV1Options, EncryptV2Options, Owners } from './encrypt.ts'
export {
  isMisbehaviour,
  type KmsClientError,
  KMS_CLIENT_ERROR_CODES,
  type KmsClientErrorCode,
  type NodeFailure,
  type NodeFailureCode,
  OWN_FAILURE_CODES,
  QuorumError,
} from './errors.ts'
export type { GrantOptions, IssuedGrant } from './issue-grant.ts'
export { createRequesterKey, type RequesterKey, requesterKeyFromPair } from './requester.ts'
export { type EnvelopeSource, SealedEnvelope } from './sealed-envelope.ts'
export type { SignedRequest } from './signed-request.ts'
export type { SessionOptions } from './sessions.ts'
export { createEip712Signer, type TypedDataWallet } from './eip712-signer.ts'
export { createEd25519Signer, type RequestSigner } from './signer.ts'
export { fetchExchange, type HttpExchange, type HttpReply, type HttpRequest } from './transport/exchange.ts'
export { http } from './transport/http.ts'
export type { Transport, TransportCall, TransportErrorCode, TransportReply } from './transport/types.ts'
export type { RemoteCluster } from './fetch-cluster.ts'
export type { KeySelector, TrustedCluster } from './trust.ts'
