import type { QuoteVerifiers } from '../attest/open-verifier.ts'
import type { ChainReader } from '../chain/chain-reader.ts'
import type { NodeConfig } from '../config/types.ts'
import type { PolicyRule } from './decision.ts'
import type { QuotaBook } from './quota-rule.ts'
import type { SignatureVerifier } from './signature-verifier.ts'

/** What rules may use of the node. */
export interface RulePorts {
  readonly signatures: SignatureVerifier
  readonly chains: ChainReader
  readonly quotas: QuotaBook
  readonly quotes: QuoteVerifiers
}

export type Profile = NodeConfig['profile']

/** Notes what is wrong, with the path below the rule. */
export type Report = (path: string, message: string) => undefined

/** @param place where in the policy the rule stands: "keys.ecies/1.all.0" */
export type CreateRule = (ports: RulePorts, place: string) => PolicyRule | undefined

/** A kind of rule, as the policy file names it. */
export interface RuleType {
  readonly name: string
  /**
   * Reads the options beside `rule:`; each problem goes to `problem`. Production refuses more.
   * @returns undefined when there was one; so does what it returns, where the node lacks what the rule needs
   */
  parse(options: Readonly<Record<string, unknown>>, problem: Report, profile: Profile): CreateRule | undefined
}

export const isAddress = (value: unknown): value is `0x${string}` =>
  typeof value === 'string' && /^0x[0-9a-fA-F]{40}$/.test(value)

export function readChainId(value: unknown, problem: Report): number | undefined {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value
  return problem('chain', 'must be a chain id')
}
