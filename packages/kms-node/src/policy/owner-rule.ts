import { decodePolicy, satisfies } from '@tkms/dkg'
import { no, type PolicyRule, YES } from './decision.ts'
import type { RuleType } from './rule-type.ts'

const OWNER = 'owner'

/**
 * Yes when the label of a v2 envelope names the requester (interfaces 3). The label is worth something only under its header proof,
 * which the pipeline verifies for every v2 item before the share is touched.
 */
const ownerRule: PolicyRule = {
  name: OWNER,
  decide({ item, principal }) {
    if (item.version !== 2) return no('no-label')
    if (principal === undefined) return no('not-signed')
    const expression = decodePolicy(item.policy)
    if (expression === undefined) return no('nobody-named')
    return satisfies(expression, [principal]) ? YES : no('not-named')
  },
}

/** `rule: owner`, without options. */
export const ownerRuleType: RuleType = {
  name: OWNER,
  parse(options, problem) {
    const unknown = Object.keys(options)
    for (const name of unknown) problem(name, 'is no option of owner')
    return unknown.length > 0 ? undefined : () => ownerRule
  },
}
