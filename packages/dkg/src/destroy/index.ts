export {
  createDestroyCollector,
  orderProgress as destroyOrderProgress,
  signatureOn as destroySignatureOn,
} from './collector.ts'
export * from './types.ts'
export {
  createErased,
  decodeErased,
  decodeDestroyMessage,
  destroyedKeyOf,
  type DestroyMessage,
  type DestroyOrder,
  type DestroyReceipt,
  type DestroySharing,
  type ErasedStatement,
  MAX_DESTROY_MESSAGE_BYTES,
  verifyErased,
  verifyOrder as verifyDestroyOrder,
  verifyReceipt as verifyDestroyReceipt,
} from './messages.ts'
export { countErasures, type DestroyedSharing, isGone, receiptsWanted, type UnseenSharing } from './progress.ts'
