import type { TdxModule } from './quote.ts'
import type { TcbInfo } from './signed-json.ts'

/** Intel's words for the state of a platform, the best first. */
export const TCB_STATUSES = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'Revoked',
] as const
export type TcbStatus = (typeof TCB_STATUSES)[number]

/** What is never taken, whatever the policy says: `Revoked`. */
export const TAKEABLE_STATUSES = TCB_STATUSES.slice(0, -1) as readonly Exclude<TcbStatus, 'Revoked'>[]

export const isTcbStatus = (text: string): text is TcbStatus => TCB_STATUSES.some((status) => status === text)

export const worseStatus = (one: TcbStatus, other: TcbStatus): TcbStatus =>
  TCB_STATUSES.indexOf(one) > TCB_STATUSES.indexOf(other) ? one : other

/**
 * The status of the TDX module that measured a TD (Intel's "TDX DCAP Quoting Library API", TCB info version 3, tdxModuleIdentities);
 * `@phala/dcap-qvl` does not look at it.
 * @returns a status, or what is wrong with the module
 */
export function moduleStatus(module: TdxModule, tcbInfo: TcbInfo): TcbStatus | { readonly problem: string } {
  const { tdxModule, tdxModuleIdentities = [] } = tcbInfo
  const version = module.version.toString(16).padStart(2, '0').toUpperCase()
  const named = tdxModuleIdentities.find(({ id }) => id.toUpperCase() === `TDX_${version}`)
  // Version 0 has no levels of its own: the platform's components cover it.
  const identity = module.version === 0 ? tdxModule : named
  if (identity === undefined) return { problem: `Intel names no TDX module of version ${version}` }
  if (identity.mrsigner.toLowerCase() !== module.mrSigner) return { problem: 'the TDX module has another signer' }
  const mask = BigInt(`0x${identity.attributesMask}`)
  if ((BigInt(`0x${identity.attributes}`) & mask) !== (BigInt(`0x${module.attributes}`) & mask))
    return { problem: 'the TDX module has other attributes' }
  if (module.version === 0) return 'UpToDate'
  const level = named?.tcbLevels.find(({ tcb }) => module.isvSvn >= tcb.isvsvn)
  if (level === undefined) return { problem: `the TDX module's level ${module.isvSvn} is below all that Intel names` }
  return isTcbStatus(level.tcbStatus) ? level.tcbStatus : { problem: 'the TDX module has a status unknown here' }
}
