import type { Decision, DecisionInput } from './decision.ts'
import { decideTree, type RuleTree } from './rule-tree.ts'

/** This node's own answer to "who may ask". */
export interface Policy {
  /** No rules for the key: nobody. */
  decide(keyName: string, input: DecisionInput): Promise<Decision>
}

export function createPolicy(options: { readonly treeOf: (keyName: string) => RuleTree | undefined }): Policy {
  return {
    async decide(keyName, input) {
      const tree = options.treeOf(keyName)
      if (tree === undefined) return { allowed: false, refusals: [{ rule: 'policy', reason: 'no-rules-for-this-key' }] }
      return decideTree(tree, input)
    },
  }
}
