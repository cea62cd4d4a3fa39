export { BOUND_BYTES, REPORT_DATA_BYTES, reportData, type ReportSubject } from './report-data.ts'
export {
  type AttestationEvidence,
  attestedRequesterNonce,
  decodeAttestationEvidence,
  encodeAttestationEvidence,
  EVIDENCE_ATTESTATION,
  MAX_ATTESTATION_QUOTE_BYTES,
} from './attestation-evidence.ts'
export { MAX_PLAINTEXT_BYTES, TAG_BYTES } from './aead.ts'
export {
  type Authorization,
  type AuthorizationJson,
  decodeAuthorization,
  formatAuthorization,
  MAX_SIGNATURE_BYTES,
  parseAuthorization,
  verifyAuthorization,
} from './authorization.ts'
export { type Answer, type AnswerJson, answerSignedBytes, formatAnswer, parseAnswer } from './answer.ts'
export { isBearerToken, MAX_TOKEN_LENGTH } from './bearer-token.ts'
export {
  type BatchContent,
  type BatchItem,
  BOX_KEY_BYTES,
  BOX_NONCE,
  decodeBatch,
  decodeSingle,
  encodeBatch,
  encodeSingle,
  MAX_BATCH_CONTENT_BYTES,
  MAX_BOX_BYTES,
  openBatch,
  sealBatch,
  SINGLE_CONTENT_BYTES,
  type SingleContent,
  splitBox,
} from './box.ts'
export { combinePartials, combineSharing, type IndexedPartial, type Sharing } from './combine.ts'
export { type TypedData, typedDataDigest, type TypedDomain, type TypedField } from './eip712.ts'
export { ETHEREUM_SIGNATURE_BYTES, ethereumAddress, recoverEthereumAddress } from './ethereum-signature.ts'
export {
  decodeEnvelope,
  encodeEnvelope,
  type Envelope,
  type EnvelopeV1Json,
  type EnvelopeV2Json,
  formatEnvelope,
  parseEnvelope,
} from './envelope.ts'
export {
  ciphertextHash,
  decodeHeader,
  encodeHeader,
  type EnvelopeHeader,
  type EnvelopeLabel,
  HEADER_BYTES,
  headerMessage,
  type ProvenHeader,
  verifyHeaderProof,
} from './envelope-header.ts'
export {
  type EnvelopeV1,
  NONCE_BYTES,
  openEnvelopeV1,
  sealEnvelopeV1,
  type SealV1Input,
  sharedX,
} from './envelope-v1.ts'
export {
  type EnvelopeV2,
  openEnvelopeV2,
  sealEnvelopeV2,
  type SealV2Input,
  verifyEnvelopeV2,
} from './envelope-v2.ts'
export {
  decodeGrant,
  encodeGrant,
  encodeGrantBody,
  type Grant,
  type GrantBody,
  grantMismatch,
  grantSignedBytes,
  grantStatement,
  type GrantSubject,
  verifyGrant,
} from './grant.ts'
export {
  decodeNoxAuthorization,
  encodeNoxAuthorization,
  isNoxAuthorization,
  type NoxAuthorization,
  noxDataAccessTypedData,
  noxDelegateTypedData,
  noxHexBytes,
  type NoxUserAuthorization,
} from './nox-authorization.ts'
export {
  CONTEXT_BYTES,
  createPartial,
  type PartialContext,
  type PartialDecryption,
  pdecContext,
  verifyPartial,
} from './partial.ts'
export {
  allOf,
  anyOf,
  decodePolicy,
  encodePolicy,
  MAX_POLICY_BYTES,
  MAX_POLICY_DEPTH,
  MAX_POLICY_LEAVES,
  type PolicyExpression,
  policyHash,
  type Principal,
  satisfies,
} from './policy-expression.ts'
export {
  formatPublicKeyId,
  MAX_PUBLIC_KEY_ID_BYTES,
  parsePublicKeyId,
  PUBLIC_KEY_ID,
  type Requester,
} from './public-key-id.ts'
export { REFUSAL_CODES, type RefusalCode, refusalCode, refusalStatus } from './refusal.ts'
export {
  clockSkewSeconds,
  decodeRequest,
  type DelegationRequest,
  encodeRequest,
  type Evidence,
  EVIDENCE_GRANT,
  EVIDENCE_SESSION,
  MAX_EVIDENCE,
  MAX_EVIDENCE_BYTES,
  MAX_ITEMS,
  MAX_REQUEST_BYTES,
  MAX_SPKI_BYTES,
  MAX_WINDOW_SECONDS,
  requestHash,
  requestSignedBytes,
  requestStatement,
} from './request.ts'
export {
  itemPoint,
  MAX_GRANT_BYTES,
  type RequestItem,
  requestItemV1,
  type RequestItemV1,
  requestItemV2,
  type RequestItemV2,
} from './request-item.ts'
export {
  decodeSession,
  encodeSession,
  encodeSessionBody,
  MAX_SESSION_HANDLES,
  type Session,
  type SessionBody,
  type SessionHandle,
  sessionHash,
  sessionMismatch,
  sessionStatement,
} from './session.ts'
export { type Statement, verifyStatement } from './statement.ts'
export {
  decodeWrongPartialEvidence,
  encodeWrongPartialEvidence,
  WRONG_PARTIAL_KIND,
  type WrongPartial,
  wrongPartialCulprit,
} from './wrong-partial-evidence.ts'
