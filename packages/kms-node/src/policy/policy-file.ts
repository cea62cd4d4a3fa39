import { attempt, parseKeyName } from '@tkms/dkg'
import { configError, readYamlFile } from '../config/yaml-file.ts'
import { attestedRuleType } from './attested-rule.ts'
import { GRANT, grantRuleType } from './grant-rule.ts'
import { NOX, noxRuleType } from './nox-rule.ts'
import { onchainRuleType } from './onchain-rule.ts'
import { ownerRuleType } from './owner-rule.ts'
import { createPolicy, type Policy, type PolicyEntry } from './policy.ts'
import { quotaRuleType } from './quota-rule.ts'
import type { Profile, Report, RulePorts, RuleType } from './rule-type.ts'
import { hasRule, isCoarse, type RuleTree } from './rule-tree.ts'
import { tokenRuleType } from './token-rule.ts'

/** Rules that every node has. */
const RULE_TYPES: readonly RuleType[] = [
  ownerRuleType,
  grantRuleType,
  onchainRuleType,
  noxRuleType,
  attestedRuleType,
  tokenRuleType,
  quotaRuleType,
]
const MAX_DEPTH = 8
const MAX_BRANCHES = 64
const ANY_KEY = '*'
const NEEDS_V1 = 'must be v1 with the rule nox, which knows no other envelopes; those of v2 need another key'
const NEVER = 'never says yes: an item of a v1 envelope needs a yes of grant or nox, and this entry has neither'
const COARSE = 'lets rules that say nothing of who may open what (token, quota) say yes alone, which is'

/** What `init` writes: who an envelope's label names may open it, and nobody else. */
export const POLICY_TEMPLATE = `# Who may have this node's share used. A node refuses unless a rule here says yes.
# Per key, by name ("ecies/421614") or "*" for every key without an entry of its own.
# Rules: owner (the envelope's label names the requester), grant (an issuer listed here signed for it), onchain (a contract says so),
# nox (the gateway of a Nox deployment signed for it), attested (an allowed machine asks: its quote says so); and token and quota, which only narrow what the others allow.
# They combine with any: [...] and all: [...]. The running node reads a changed file by itself: see "kms-node policy check".
version: 1
# Each key is for one version of envelopes: v2, or with "envelopes: v1" the older one, which only grant and nox open.
# The quota is what strangers, who may seal for themselves and ask, can write to this node's audit log: about 500 bytes an item.
keys:
  '*':
    all:
      - any:
          - rule: owner
          # - rule: grant
          #   issuers: ['ed25519:<64 hex digits>']
      - rule: quota
        requester: [{ items: 6000, seconds: 60 }, { items: 50000, seconds: 86400 }]
        address: [{ items: 200000, seconds: 86400 }]
`

/**
 * Reads policy.yaml. A file with anything wrong in it is refused whole, with every problem and its path.
 * @throws KmsError `config-missing`, `config-unreadable`, `bad-config-file`
 */
export async function loadPolicy(file: string, context: Omit<PolicyContext, 'file'>): Promise<Policy> {
  return parsePolicy(await readYamlFile(file), { ...context, file })
}

export interface PolicyContext {
  /** Named in errors. */
  readonly file: string
  readonly ports: RulePorts
  /** Production, the default, refuses a policy in which coarse rules alone can say yes, and measurements of firmware alone. */
  readonly profile?: Profile
  /** Rules beside those that every node has. */
  readonly ruleTypes?: readonly RuleType[]
  /** Told of what is allowed and hardly meant. */
  readonly remark?: (path: string, message: string) => void
}

/** @throws KmsError `bad-config-file` */
export function parsePolicy(document: unknown, context: PolicyContext): Policy {
  const { profile = 'production' } = context
  const problems: string[] = []
  const problem: Report = (path, message) => {
    problems.push(`${path || '(the file)'}: ${message}`)
    return undefined
  }
  const { version, keys, ...others } = recordOf(document, '', problem)
  for (const name of Object.keys(others)) problem(name, 'is unknown')
  if (version !== 1) problem('version', 'must be 1')
  const entries = Object.entries(recordOf(keys, 'keys', problem))
  if (entries.length === 0) problem('keys', 'must name at least one key, or "*"')
  const known = new Map<string, PolicyEntry>()
  const types = [...RULE_TYPES, ...(context.ruleTypes ?? [])]
  for (const [name, value] of entries) {
    if (name !== ANY_KEY && attempt(() => parseKeyName(name)) === undefined)
      problem(`keys.${name}`, 'is not a key name: 1 to 64 of a-z 0-9 . _ / -, the first a letter or digit')
    const entry = parseEntry(value, { path: `keys.${name}`, depth: 1, ports: context.ports, profile, types, problem })
    if (entry === undefined) continue
    known.set(name, entry)
    if (entry.envelopes === 1 && !hasRule(entry.tree, NOX) && !hasRule(entry.tree, GRANT))
      context.remark?.(`keys.${name}`, NEVER)
    if (profile !== 'development' && isCoarse(entry.tree))
      problem(`keys.${name}`, `${COARSE} only in the development profile`)
  }
  if (problems.length > 0)
    throw configError('bad-config-file', `${context.file} is refused`, { file: context.file, problems })
  return createPolicy({ entryOf: (keyName) => known.get(keyName) ?? known.get(ANY_KEY) })
}

interface Place {
  readonly path: string
  readonly depth: number
  readonly ports: RulePorts
  readonly profile: Profile
  readonly types: readonly RuleType[]
  readonly problem: Report
}

function recordOf(value: unknown, path: string, problem: Report): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  problem(path, 'must be a mapping')
  return {}
}

/** One key's rules, and beside them `envelopes`: the version that the key is for, v2 unless it is said. */
function parseEntry(value: unknown, place: Place): PolicyEntry | undefined {
  const { path, problem } = place
  const { envelopes = 'v2', ...rules } = recordOf(value, path, problem)
  if (envelopes !== 'v1' && envelopes !== 'v2') problem(`${path}.envelopes`, 'must be v1 or v2')
  const tree = parseTree(rules, place)
  if (tree === undefined) return undefined
  if (envelopes !== 'v1' && hasRule(tree, NOX)) problem(`${path}.envelopes`, NEEDS_V1)
  return { envelopes: envelopes === 'v1' ? 1 : 2, tree }
}

function parseTree(value: unknown, place: Place): RuleTree | undefined {
  const { path, depth, problem } = place
  if (depth > MAX_DEPTH) return problem(path, `is nested more than ${MAX_DEPTH} levels deep`)
  const fields = recordOf(value, path, problem)
  const heads = ['rule', 'any', 'all'].filter((name) => name in fields)
  const [head] = heads
  if (heads.length !== 1 || head === undefined) return problem(path, 'must have exactly one of rule, any, all')
  const { [head]: content, ...options } = fields
  if (head === 'rule') return parseRule(content, options, place)
  for (const name of Object.keys(options)) problem(`${path}.${name}`, 'is unknown')
  return parseBranches(head === 'any' ? 'any' : 'all', content, place)
}

function parseBranches(kind: 'any' | 'all', content: unknown, place: Place): RuleTree | undefined {
  const path = `${place.path}.${kind}`
  if (!Array.isArray(content) || content.length < 1 || content.length > MAX_BRANCHES)
    return place.problem(path, `must be a list of 1 to ${MAX_BRANCHES} rules`)
  const trees = content
    .map((inner: unknown, at) => parseTree(inner, { ...place, path: `${path}.${at}`, depth: place.depth + 1 }))
    .filter((tree) => tree !== undefined)
  const [first, ...rest] = trees
  return first === undefined || trees.length !== content.length ? undefined : { kind, of: [first, ...rest] }
}

function parseRule(name: unknown, options: Record<string, unknown>, place: Place): RuleTree | undefined {
  const type = place.types.find((known) => known.name === name)
  if (type === undefined)
    return place.problem(`${place.path}.rule`, `must be one of ${place.types.map((known) => known.name).join(', ')}`)
  const report: Report = (path, message) => place.problem(`${place.path}.${path}`, message)
  const create = type.parse(options, report, place.profile)
  const rule = create?.(place.ports, place.path)
  return rule === undefined ? undefined : { kind: 'rule', rule }
}
