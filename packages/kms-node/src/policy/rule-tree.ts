import type { DecisionInput, PolicyRule, RuleContext, RuleRefusal, RuleVerdict } from './decision.ts'

/** Rules put together. Lists are never empty: an empty "all of" would allow everything. */
export type RuleTree =
  | { readonly kind: 'rule'; readonly rule: PolicyRule }
  | { readonly kind: 'any' | 'all'; readonly of: readonly [RuleTree, ...RuleTree[]] }

/** What each rule said. In a decision it ends with the rule that settled it; for an explanation it is whole. */
export type Explained =
  | { readonly kind: 'rule'; readonly rule: string; readonly verdict: RuleVerdict }
  | { readonly kind: 'any' | 'all'; readonly allowed: boolean; readonly of: readonly Explained[] }

/** What came of a tree. */
export type Outcome =
  | {
      readonly allowed: true
      readonly rules: readonly string[]
      readonly bindsHandle: boolean
      readonly told: Explained
    }
  | {
      readonly allowed: false
      readonly refusals: readonly RuleRefusal[]
      readonly undecided: boolean
      readonly told: Explained
    }

type Allowed = Extract<Outcome, { allowed: true }>
type Refused = Extract<Outcome, { allowed: false }>

export interface Evaluation {
  readonly input: DecisionInput
  /** Asks every rule, also when it is settled already. The outcome is the same. */
  readonly everyRule: boolean
}

/** Decides in the order written; `any` is settled by its first yes, `all` by its first no. */
export async function evaluateTree(tree: RuleTree, evaluation: Evaluation, context: RuleContext): Promise<Outcome> {
  if (tree.kind === 'rule') return evaluateRule(tree.rule, evaluation, context)
  return tree.kind === 'any' ? evaluateAny(tree.of, evaluation, context) : evaluateAll(tree.of, evaluation, context)
}

async function evaluateRule(rule: PolicyRule, { input }: Evaluation, context: RuleContext): Promise<Outcome> {
  const verdict = await rule.decide(input, context)
  const told: Explained = { kind: 'rule', rule: rule.name, verdict }
  if (verdict.kind === 'yes')
    return { allowed: true, rules: [rule.name], bindsHandle: verdict.bindsHandle === true, told }
  const refusals = [{ rule: rule.name, reason: verdict.reason }]
  return { allowed: false, refusals, undecided: verdict.undecided === true, told }
}

async function evaluateAny(
  branches: readonly RuleTree[],
  evaluation: Evaluation,
  context: RuleContext,
): Promise<Outcome> {
  const outcomes: Outcome[] = []
  for (const branch of branches) {
    const outcome = await evaluateTree(branch, evaluation, context)
    outcomes.push(outcome)
    if (outcome.allowed && !evaluation.everyRule) break
  }
  const of = outcomes.map(({ told }) => told)
  const [first] = outcomes.filter(isAllowed)
  if (first !== undefined) return { ...first, told: { kind: 'any', allowed: true, of } }
  const refused = outcomes.filter(isRefused)
  return {
    allowed: false,
    refusals: refused.flatMap(({ refusals }) => refusals),
    undecided: refused.some(({ undecided }) => undecided),
    told: { kind: 'any', allowed: false, of },
  }
}

async function evaluateAll(
  branches: readonly RuleTree[],
  evaluation: Evaluation,
  context: RuleContext,
): Promise<Outcome> {
  const outcomes: Outcome[] = []
  let { handleBound } = context
  for (const branch of branches) {
    const outcome = await evaluateTree(branch, evaluation, { handleBound })
    outcomes.push(outcome)
    if (outcome.allowed) handleBound ||= outcome.bindsHandle
    else if (!evaluation.everyRule) break
  }
  const of = outcomes.map(({ told }) => told)
  const [first] = outcomes.filter(isRefused)
  if (first !== undefined)
    return {
      allowed: false,
      refusals: first.refusals,
      undecided: first.undecided,
      told: { kind: 'all', allowed: false, of },
    }
  const allowed = outcomes.filter(isAllowed)
  return {
    allowed: true,
    rules: allowed.flatMap(({ rules }) => rules),
    bindsHandle: allowed.some(({ bindsHandle }) => bindsHandle),
    told: { kind: 'all', allowed: true, of },
  }
}

const isAllowed = (outcome: Outcome): outcome is Allowed => outcome.allowed
const isRefused = (outcome: Outcome): outcome is Refused => !outcome.allowed

/** Whether coarse rules alone can make this tree say yes. */
export function isCoarse(tree: RuleTree): boolean {
  if (tree.kind === 'rule') return tree.rule.coarse === true
  return tree.kind === 'any' ? tree.of.some(isCoarse) : tree.of.every(isCoarse)
}
