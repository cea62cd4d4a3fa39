import type { TypedData } from '@tkms/dkg'

/** What the combiner's wallet signs about an answer: `salt` is what ties it to its question (interop 1.1). */
export const responseProofTypedData = (answer: {
  readonly chainId: number
  /** 32 bytes, "0x" and hex. */
  readonly salt: `0x${string}`
  /** "0x" and hex, as it is sent. */
  readonly encryptedSharedSecret: string
}): TypedData => ({
  domain: { name: 'ProtocolDelegate', version: '1', chainId: answer.chainId, salt: answer.salt },
  types: { DelegateResponseProof: [{ name: 'encryptedSharedSecret', type: 'string' }] },
  primaryType: 'DelegateResponseProof',
  message: { encryptedSharedSecret: answer.encryptedSharedSecret },
})
