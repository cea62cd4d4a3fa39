import type { Decision, DecisionInput, PolicyRule } from './decision.ts'

/** Rules put together. Lists are never empty: an empty "all of" would allow everything. */
export type RuleTree =
  | { readonly kind: 'rule'; readonly rule: PolicyRule }
  | { readonly kind: 'any' | 'all'; readonly of: readonly [RuleTree, ...RuleTree[]] }

/** Decides in the order written; `any` stops at the first yes, `all` at the first no. */
export async function decideTree(tree: RuleTree, input: DecisionInput): Promise<Decision> {
  if (tree.kind === 'rule') return decideRule(tree.rule, input)
  const decisions: Decision[] = []
  for (const inner of tree.of) {
    const decision = await decideTree(inner, input)
    if (decision.allowed === (tree.kind === 'any')) return decision
    decisions.push(decision)
  }
  if (tree.kind === 'any')
    return { allowed: false, refusals: decisions.flatMap((decision) => (decision.allowed ? [] : decision.refusals)) }
  return { allowed: true, rules: decisions.flatMap((decision) => (decision.allowed ? decision.rules : [])) }
}

async function decideRule(rule: PolicyRule, input: DecisionInput): Promise<Decision> {
  const verdict = await rule.decide(input)
  return verdict.kind === 'yes'
    ? { allowed: true, rules: [rule.name] }
    : { allowed: false, refusals: [{ rule: rule.name, reason: verdict.reason }] }
}
