import type { DecisionInput, GrantName, PolicyRule, RuleContext, RuleRefusal, RuleVerdict } from './decision.ts'

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
      readonly grants: readonly GrantName[]
      readonly bindsHandle: boolean
      /** Somebody who is believed named the K. */
      readonly bindsPoint: boolean
      /** A rule that could not find out might have bound the point. */
      readonly undecided: boolean
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
  if (verdict.kind === 'yes') {
    const { bindsHandle = false, bindsPoint = false, by } = verdict
    const grants = by === undefined ? [] : [by]
    return { allowed: true, rules: [rule.name], grants, bindsHandle, bindsPoint, undecided: false, told }
  }
  const refusals = [{ rule: rule.name, reason: verdict.reason }]
  return { allowed: false, refusals, undecided: verdict.undecided === true, told }
}

/** The first yes counts, but for a v1 item the first that binds its point, if there is one: without it the yes is worth nothing. */
async function evaluateAny(
  branches: readonly RuleTree[],
  evaluation: Evaluation,
  context: RuleContext,
): Promise<Outcome> {
  const outcomes: Outcome[] = []
  const settles = (outcome: Allowed): boolean => outcome.bindsPoint || evaluation.input.item.version === 2
  for (const branch of branches) {
    const outcome = await evaluateTree(branch, evaluation, context)
    outcomes.push(outcome)
    if (outcome.allowed && settles(outcome) && !evaluation.everyRule) break
  }
  const of = outcomes.map(({ told }) => told)
  const allowed = outcomes.filter(isAllowed)
  const settled = allowed.find(settles)
  if (settled !== undefined) return { ...settled, told: { kind: 'any', allowed: true, of } }
  const undecided = outcomes.some((outcome) => outcome.undecided)
  const [first] = allowed
  if (first !== undefined) return { ...first, undecided, told: { kind: 'any', allowed: true, of } }
  return {
    allowed: false,
    refusals: outcomes.filter(isRefused).flatMap(({ refusals }) => refusals),
    undecided,
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
    grants: allowed.flatMap(({ grants }) => grants),
    bindsHandle: allowed.some(({ bindsHandle }) => bindsHandle),
    bindsPoint: allowed.some(({ bindsPoint }) => bindsPoint),
    undecided: allowed.some(({ undecided }) => undecided),
    told: { kind: 'all', allowed: true, of },
  }
}

const isAllowed = (outcome: Outcome): outcome is Allowed => outcome.allowed
const isRefused = (outcome: Outcome): outcome is Refused => !outcome.allowed

/** Whether a rule of this name is anywhere in the tree. */
export function hasRule(tree: RuleTree, name: string): boolean {
  return tree.kind === 'rule' ? tree.rule.name === name : tree.of.some((branch) => hasRule(branch, name))
}

/** Whether coarse rules alone can make this tree say yes. */
export function isCoarse(tree: RuleTree): boolean {
  if (tree.kind === 'rule') return tree.rule.coarse === true
  return tree.kind === 'any' ? tree.of.some(isCoarse) : tree.of.every(isCoarse)
}
