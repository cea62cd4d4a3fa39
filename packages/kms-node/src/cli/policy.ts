import { createHash } from 'node:crypto'
import { KmsError } from '@tkms/dkg'
import { Command } from 'commander'
import { loadNodeConfig } from '../config/node-config.ts'
import { readBounded } from '../files.ts'
import { MAX_BODY_BYTES } from '../http/body.ts'
import { openRulePorts } from '../policy/open-policy.ts'
import { loadPolicy } from '../policy/policy-file.ts'
import type { ItemReport, RequestReport, RuleReport } from '../serve/dry-run.ts'
import { connect, dataDirOf, outputOf } from './options.ts'
import { COMMAND, EXIT_HELP } from './output.ts'

const MAX_TOKEN_BYTES = 1024

/** `policy check | explain`: who may decrypt, before and after it matters. */
export function policyCommand(): Command {
  const policy = new Command('policy').description('who may decrypt: check the file, explain a decision')
  policy
    .command('check')
    .description(
      'check a policy file without a running node and without asking a chain, by the profile and the chains of its node.yaml; everything that is wrong is listed',
    )
    .argument('[file]', 'default: the policy file of the node')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} policy check policy.new.yaml --data-dir alice`)
    .action(check)
  policy
    .command('explain')
    .description(
      'ask every rule of the running node about a request, and show what each says; nothing is released or counted',
    )
    .requiredOption('--request <file>', 'a signed request, as "tkms request --out FILE" writes it')
    .option('--address <ip>', 'where it would come from, for quotas; default 127.0.0.1')
    .option('--token-file <file>', 'the bearer token that would come with it')
    .addHelpText(
      'after',
      `${EXIT_HELP}\n\nExit code 0 means that it was explained, whatever the rules say.\n\nExample:\n  ${COMMAND} policy explain --request request.json --data-dir alice`,
    )
    .action(explain)
  return policy
}

async function check(file: string | undefined, _options: unknown, command: Command): Promise<void> {
  const config = await loadNodeConfig({ directory: dataDirOf(command), env: process.env })
  const checked = file ?? config.policyFile
  const remarks: string[] = []
  const remark = (path: string, message: string): void => void remarks.push(`${path}: ${message}`)
  await loadPolicy(checked, {
    ports: await openRulePorts(config),
    profile: config.profile,
    remark,
  })
  outputOf(command).result({ ok: true, file: checked, profile: config.profile, remarks }, [
    `${checked} is right (${config.profile} profile)`,
    ...remarks.map((line) => `  but ${line}`),
  ])
}

interface ExplainOptions {
  readonly request: string
  readonly address?: string
  readonly tokenFile?: string
}

async function explain(options: ExplainOptions, command: Command): Promise<void> {
  const { client, output } = await connect(command)
  const report = (await client.post('/policy/explain', {
    authorization: await readRequest(options.request),
    address: options.address,
    tokenHash: options.tokenFile === undefined ? undefined : await hashToken(options.tokenFile),
  })) as RequestReport
  output.result(report, describeReport(report))
}

async function readRequest(file: string): Promise<unknown> {
  const text = await readText(file, MAX_BODY_BYTES)
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new KmsError('malformed', `${file} is not JSON: make it with "tkms request"`, { data: { file }, cause })
  }
}

const hashToken = async (file: string): Promise<string> =>
  `0x${createHash('sha256')
    .update((await readText(file, MAX_TOKEN_BYTES)).trim())
    .digest('hex')}`

async function readText(file: string, maxBytes: number): Promise<string> {
  const bytes = await readBounded(file, maxBytes)
  if (bytes === undefined) throw new KmsError('config-missing', `${file} does not exist`, { data: { file } })
  return new TextDecoder().decode(bytes)
}

/** For people: who asks what, then per item what each rule says. */
export function describeReport({ keyName, requester, allowed, rsaKey, items }: RequestReport): readonly string[] {
  return [
    `${allowed ? 'would be answered' : 'would be refused'}: ${requester} asks for ${keyName}`,
    ...(rsaKey === 'accepted' ? [] : [`  the RSA key is refused: ${rsaKey}`]),
    ...items.flatMap(describeItem),
  ]
}

function describeItem(item: ItemReport, at: number): readonly string[] {
  const verdict = item.code === undefined ? 'answered' : `refused with ${item.code}`
  return [
    `  item ${at + 1}: ${verdict}`,
    ...(item.headerProof === 'invalid' ? ['    the header proof does not hold'] : []),
    ...(item.rules === undefined ? ['    the policy has no rules for this key'] : describeRules(item.rules, '    ')),
  ]
}

function describeRules(report: RuleReport, indent: string): readonly string[] {
  if ('rule' in report) {
    const why = report.says === 'no' ? ` (${report.reason}${report.undecided === true ? ', cannot tell now' : ''})` : ''
    return [`${indent}${report.rule}: ${report.says}${why}`]
  }
  const [word, inner] = 'any' in report ? ['any of', report.any] : ['all of', report.all]
  return [`${indent}${word}: ${report.says}`, ...inner.flatMap((each) => describeRules(each, `${indent}  `))]
}
