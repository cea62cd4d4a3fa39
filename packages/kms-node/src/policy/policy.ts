import type { Decision, DecisionInput, RuleContext } from './decision.ts'
import { evaluateTree, type Explained, type RuleTree } from './rule-tree.ts'

/** This node's own answer to "who may ask". */
export interface Policy {
  /** No rules for the key: nobody. */
  decide(keyName: string, input: DecisionInput): Promise<Decision>
  /** Asks every rule and tells what each said; `decision` is what `decide` says. `told` is absent when the key has no rules. */
  explain(keyName: string, input: DecisionInput): Promise<Explanation>
}

export interface Explanation {
  readonly decision: Decision
  readonly told?: Explained
}

const NO_RULES: Decision = { allowed: false, refusals: [{ rule: 'policy', reason: 'no-rules-for-this-key' }] }

export function createPolicy(options: { readonly treeOf: (keyName: string) => RuleTree | undefined }): Policy {
  const evaluate = async (keyName: string, input: DecisionInput, everyRule: boolean): Promise<Explanation> => {
    const tree = options.treeOf(keyName)
    if (tree === undefined) return { decision: NO_RULES }
    const outcome = await evaluateTree(tree, { input, everyRule }, contextOf(input))
    const { told } = outcome
    if (outcome.allowed) return { decision: { allowed: true, rules: outcome.rules }, told }
    const { refusals, undecided } = outcome
    return { decision: { allowed: false, refusals, ...(undecided && { undecided: true }) }, told }
  }
  return {
    decide: async (keyName, input) => (await evaluate(keyName, input, false)).decision,
    explain: (keyName, input) => evaluate(keyName, input, true),
  }
}

/** The label of a v2 item counts, for its header proof is verified before the share is touched. A v1 item names what it likes. */
const contextOf = ({ item }: DecisionInput): RuleContext => ({ handleBound: item.version === 2 })
