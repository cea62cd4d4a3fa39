import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'

export const OPS: string = join(import.meta.dirname, '../../ops')
export const ALERTS_FILE: string = join(OPS, 'prometheus/alerts.yml')

export interface AlertRule {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook_url: string }
}

interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly AlertRule[] }[]
}

/** The rules as they are shipped. */
export async function readRules(): Promise<readonly AlertRule[]> {
  return (await ruleFile()).groups.flatMap(({ rules }) => rules)
}

const ruleFile = async (): Promise<RuleFile> => parse(await readFile(ALERTS_FILE, 'utf8')) as RuleFile

/** The shipped rules with their windows cut to seconds: a condition must hold for `holdsSeconds`, and rates look back over `rangeSeconds`. */
export async function shortenedRules(holdsSeconds: number, rangeSeconds: number): Promise<string> {
  const { groups } = await ruleFile()
  const shorten = (rule: AlertRule): AlertRule => ({
    ...rule,
    expr: rule.expr.replaceAll(/\[\w+\]/g, `[${rangeSeconds}s]`),
    ...(rule.for !== undefined && { for: `${holdsSeconds}s` }),
  })
  return stringify({ groups: groups.map((group) => ({ ...group, rules: group.rules.map(shorten) })) })
}

/** The names of metrics that PromQL expressions use: ours and those of the process. */
export const metricNames = (text: string): ReadonlySet<string> =>
  new Set([...text.matchAll(/\b(?:tkms|nodejs|process)_\w+/g)].map(([name]) => name))
