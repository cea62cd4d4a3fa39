export { createRepairHelper, type RepairHelper } from './helper.ts'
export { createRepairRecoverer, type RepairRecoverer } from './recoverer.ts'
export type { HelperState } from './helper-state.ts'
export { currentRepairId, type RecovererState } from './recoverer-state.ts'
export {
  encodeOver as encodeRepairOver,
  encodeRefusal as encodeRepairRefusal,
  isForRecoverer,
  MAX_REPAIR_MESSAGE_BYTES,
  readRepairRequest,
  REPAIR_REFUSALS,
  type RepairId,
  repairIdOf,
  type RepairRefusal,
  type RepairRequest,
  type RepairSharing,
} from './messages.ts'
export * from './types.ts'
