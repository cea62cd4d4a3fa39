import { attempt, decodeNodePublicKey, parsePublicKeyId } from '@tkms/dkg'
import { isAddress, readChainId, type Report } from './rule-type.ts'

const MAX_COMBINERS = 64
const USER_CHECKS = ['off', 'authorization', 'viewer'] as const

/** What a `nox` rule is told in the policy file. */
export interface NoxOptions {
  readonly chainId: number
  /** The gateway's wallet; read from the contract when it is not given here. */
  readonly gateway?: `0x${string}`
  /** The NoxCompute contract. */
  readonly contract?: `0x${string}`
  /** Identities "ed25519:<64 hex>" that may ask on behalf of the gateway, and so learn the shared secret. */
  readonly combiners: readonly string[]
  /**
   * What is asked of the user beside the gateway's word: nothing, a signature, or also that the chain knows them as a viewer of the
   * handle that a combiner names. Nobody signs that either belongs to K.
   */
  readonly user: (typeof USER_CHECKS)[number]
}

/** @returns undefined when something is wrong, which went to `problem` */
export function readNoxOptions(fields: Readonly<Record<string, unknown>>, problem: Report): NoxOptions | undefined {
  const { chain, gateway, contract, combiners = [], user = 'off', ...others } = fields
  let wrong = false
  const report: Report = (path, message) => {
    wrong = true
    return problem(path, message)
  }
  for (const name of Object.keys(others)) report(name, 'is no option of nox')
  const chainId = readChainId(chain, report)
  const addresses = { ...readAddress('gateway', gateway, report), ...readAddress('contract', contract, report) }
  if (gateway === undefined && contract === undefined) report('gateway', 'must be given, or the contract to ask for it')
  const check = USER_CHECKS.find((known) => known === user)
  if (check === undefined) report('user', `must be one of ${USER_CHECKS.join(', ')}`)
  else if (check !== 'off' && contract === undefined) report('contract', `must be given with user: ${check}`)
  if (check === 'viewer' && Array.isArray(combiners) && combiners.length === 0)
    report('combiners', 'must be given with user: viewer, for they name the handle')
  if (!isCombinerList(combiners)) report('combiners', `must be a list of at most ${MAX_COMBINERS} "ed25519:<64 hex>"`)
  if (wrong || chainId === undefined || check === undefined || !isCombinerList(combiners)) return undefined
  return { chainId, ...addresses, combiners, user: check }
}

function readAddress(
  name: 'gateway' | 'contract',
  value: unknown,
  problem: Report,
): Partial<Record<typeof name, `0x${string}`>> {
  if (isAddress(value)) return { [name]: value }
  if (value !== undefined) problem(name, 'must be an address, 0x and 40 hex digits')
  return {}
}

const isCombinerList = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.length <= MAX_COMBINERS && value.every(isEd25519Id)

/** Whether this is "ed25519:<64 hex>" of a key of prime order. */
export function isEd25519Id(id: unknown): id is string {
  const signer = typeof id === 'string' ? attempt(() => parsePublicKeyId(id)) : undefined
  return signer?.kind === 'ed25519' && attempt(() => decodeNodePublicKey(signer.key)) !== undefined
}
