import { type Decision, type DecisionInput, no, type RuleContext } from './decision.ts'
import { evaluateTree, type Explained, type Outcome, type RuleTree } from './rule-tree.ts'

/** What the policy says of one key. */
export interface PolicyEntry {
  /**
   * The version of the envelopes that the key is for; items of the other one are refused. A v1 item may carry the K of anybody's v2
   * envelope, and nothing in it shows that: under a key for both, whoever can get a producer's word for a K could open those as well.
   */
  readonly envelopes: 1 | 2
  readonly tree: RuleTree
}

/** This node's own answer to "who may ask". */
export interface Policy {
  /** Another number once other rules are in force: what was decided before that counts no more. */
  readonly edition: number
  /** No rules for the key: nobody. */
  decide(keyName: string, input: DecisionInput): Promise<Decision>
  /** Asks every rule and tells what each said; `decision` is what `decide` says. `told` is absent when the key has no rules. */
  explain(keyName: string, input: DecisionInput): Promise<Explanation>
}

export interface Explanation {
  readonly decision: Decision
  readonly told?: Explained
}

/** The policy itself refuses, as if it were a rule. */
const POLICY = 'policy'
const refusedAs = (reason: string): Decision => ({ allowed: false, refusals: [{ rule: POLICY, reason }] })
const toldAs = (reason: string): Explained => ({ kind: 'rule', rule: POLICY, verdict: no(reason) })

export function createPolicy(options: { readonly entryOf: (keyName: string) => PolicyEntry | undefined }): Policy {
  const evaluate = async (keyName: string, input: DecisionInput, everyRule: boolean): Promise<Explanation> => {
    const entry = options.entryOf(keyName)
    if (entry === undefined) return { decision: refusedAs('no-rules-for-this-key') }
    if (entry.envelopes !== input.item.version) {
      const reason = 'other-envelope-version'
      return { decision: refusedAs(reason), told: toldAs(reason) }
    }
    const outcome = await evaluateTree(entry.tree, { input, everyRule }, contextOf(input))
    return explanationOf(outcome, input)
  }
  return {
    edition: 0,
    decide: async (keyName, input) => (await evaluate(keyName, input, false)).decision,
    explain: (keyName, input) => evaluate(keyName, input, true),
  }
}

function explanationOf(outcome: Outcome, { item }: DecisionInput): Explanation {
  const { told, undecided } = outcome
  if (!outcome.allowed)
    return { decision: { allowed: false, refusals: outcome.refusals, ...(undecided && { undecided }) }, told }
  if (item.version === 2 || outcome.bindsPoint) {
    const { rules, grants } = outcome
    return { decision: { allowed: true, rules, ...(grants.length > 0 && { grants }) }, told }
  }
  const reason = 'point-not-bound'
  return {
    decision: { ...refusedAs(reason), ...(undecided && { undecided }) },
    told: { kind: 'all', allowed: false, of: [told, toldAs(reason)] },
  }
}

/** The label of a v2 item counts, for its header proof was verified before the rules are asked. A v1 item names what it likes. */
const contextOf = ({ item }: DecisionInput): RuleContext => ({ handleBound: item.version === 2 })
