import type { PolicyRule } from './decision.ts'
import type { SignatureVerifier } from './signature-verifier.ts'

/** What rules may use of the node. */
export interface RulePorts {
  readonly signatures: SignatureVerifier
}

/** A kind of rule, as the policy file names it. */
export interface RuleType {
  readonly name: string
  /**
   * Reads the options beside `rule:`; each problem goes to `problem` with the path below the rule.
   * @returns undefined when there was one
   */
  parse(
    options: Readonly<Record<string, unknown>>,
    problem: (path: string, message: string) => void,
  ): ((ports: RulePorts) => PolicyRule) | undefined
}
