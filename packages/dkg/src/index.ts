export * from './audit/index.ts'
export * from './decrypt/index.ts'
export {
  type CeremonySpec,
  type CommitteeConfig,
  ceremonyId,
  configHash,
  createConfig,
  dealerConfig,
  decodeConfig,
  decodeSpec,
  encodeConfig,
  encodeSpec,
  faultTolerance,
  importerConfig,
  importKeyId,
  importOutcome,
  type ImportSpec,
  importSpec,
  type KeygenSpec,
  type Member,
  memberAt,
  parseKeyName,
  type Purpose,
  purposeCode,
  quorum,
  type ReshareSpec,
  slotId,
} from './ceremony/config.ts'
export * from './ceremony/engine-types.ts'
export {
  type Certificate,
  certificateKeyId,
  decodeCertificate,
  encodeCertificate,
  MAX_CERTIFICATE_BYTES,
  type MemberSignature,
} from './ceremony/certificate.ts'
export {
  type AuthorizationStrength,
  authorizationStrength,
  signAuthorization as signMemberAuthorization,
  verifyAuthorization as verifyMemberAuthorization,
} from './ceremony/authorization.ts'
export { checkCertificate, type CheckedKey, readFacts as readCertificateFacts } from './ceremony/check-certificate.ts'
export { fullerCertificate } from './ceremony/fuller-authorization.ts'
export { advanceKey, type Advance, type Pins, type Refusal } from './ceremony/certificate-chain.ts'
export { isSameName, mayBegin, mayPrecede, type NamedKey, type ReachedCommittee } from './ceremony/name-rule.ts'
export { followCertificates, followChains, type KeyChain, withoutRefreshes } from './ceremony/follow-chains.ts'
export {
  type CertificatePin,
  type SuccessorOptions,
  type VerifiedKey,
  verifyCertificate,
  verifyHigherAttempt,
  verifyLaterEpoch,
  verifySuccessor,
} from './ceremony/verify-certificate.ts'
export { createCeremonyEngine } from './ceremony/engine.ts'
export { type Fault, type FaultKind } from './ceremony/fault.ts'
export { doubleAuthorization, type SignedSpec } from './ceremony/authorization-evidence.ts'
export type { EvidencePins } from './evidence/identities.ts'
export { evidencePins, MAX_EVIDENCE_BYTES, verifyEvidence } from './evidence/verify-evidence.ts'
export { MAX_SIGNED_MESSAGE_BYTES, maxSignedMessageBytes } from './ceremony/signed-message.ts'
export {
  abandonHere,
  type Approval,
  approve as approveInSlot,
  authorize as authorizeInSlot,
  begin as beginInSlot,
  certify as certifyInSlot,
  decideAgainst,
  decodeSlot,
  emptySlot,
  encodeSlot,
  mayEraseOn,
  type OwnWord,
  type SlotEntry,
  isUndecided as isUndecidedInSlot,
  slotEntry,
  type SlotRefusal,
  type SlotState,
  type SlotStep,
  superseded,
  takeOver as takeOverInSlot,
  winner as slotWinner,
} from './ceremony/slot.ts'
export { leaderOf } from './ceremony/join.ts'
export type { CeremonyState } from './ceremony/state.ts'
export * from './cluster.ts'
export * from './cluster-keys.ts'
export { DKG_ERROR_CODES, type ErrorData, KmsError, type KmsErrorOptions } from './errors.ts'
export * from './primitives/codec.ts'
export type { Curve, ProofResponse, Term } from './primitives/curve.ts'
export {
  decodeNodePublicKey,
  rememberVerified,
  SIGNATURE_BYTES,
  type SignMessage,
  signTagged,
  type VerifyMessage,
  verifyEd25519,
  verifyTagged,
} from './primitives/ed25519.ts'
export { signedBytes, taggedHash } from './primitives/hash.ts'
export { hashToCurve } from './primitives/hash-to-curve.ts'
export { nobleCurve } from './primitives/noble-curve.ts'
export { decodePoint, id32, participantIndex, POINT_BYTES } from './primitives/point.ts'
export {
  decodeScalar,
  encodeScalar,
  isBelowOrder,
  isSecretScalar,
  ORDER,
  publicScalar,
  scalarModOrder,
} from './primitives/scalar.ts'
export { Secret } from './primitives/secret.ts'
export type {
  CeremonyId,
  ClusterId,
  KeyId,
  NodePublicKey,
  ParticipantIndex,
  PointBytes,
  SharingId,
} from './primitives/types.ts'
export {
  DLEQ_PROOF_BYTES,
  type DleqStatement,
  type DleqWitness,
  proveDleq,
  type ProvenProduct,
  verifyDleq,
} from './proofs/dleq.ts'
export * from './destroy/index.ts'
export * from './repair/index.ts'
export { type Commitment, commit, verificationShare, verifyShare } from './sharing/feldman.ts'
export { lagrangeCoefficients } from './sharing/lagrange.ts'
