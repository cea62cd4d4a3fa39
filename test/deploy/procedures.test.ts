import { execFile, spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { deploymentPath, deploymentText } from '../support/deployment-files.ts'

/** That the guide and the procedures fit each other; the slow tests run them. */

const FOLDER = 'deploy/procedures'
const scripts = readdirSync(deploymentPath(FOLDER)).filter((name) => name.endsWith('.sh') && name !== 'lib.sh')
const COMMAND = /^(?:deploy\/procedures\/|npm run --silent kms-node -- )/

/** Every line of the guide's shell blocks. */
const documented = [...deploymentText('docs/operations.md').matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(
  ([, block = '']) => block.trim().split('\n'),
)
const help = async (script: string, ...args: readonly string[]): Promise<string> => {
  const run = promisify(execFile)(deploymentPath(`${FOLDER}/${script}`), [...args], { timeout: 10_000 })
  return run.then(
    ({ stderr }) => stderr,
    (cause: unknown) => (cause as { readonly stderr: string }).stderr,
  )
}

describe('the procedures of the operations guide', () => {
  test('are all of its commands that are not commands of a node, and none is missing', () => {
    expect(documented.filter((line) => !COMMAND.test(line))).toEqual([])
    const named = documented.flatMap((line) => /^deploy\/procedures\/(\S+)/.exec(line)?.[1] ?? [])
    expect([...new Set(named)].toSorted()).toEqual(scripts.toSorted())
  })

  test.each(scripts)('%s explains itself, with every option that the guide uses', async (script) => {
    const text = await help(script, '--help')
    expect(text).toContain(`${script} `)
    for (const line of documented.filter((words) => words.startsWith(`${FOLDER}/${script} `)))
      for (const option of line.split(' {}')[0]?.match(/ --[a-z-]+/g) ?? []) expect(text).toContain(option.trim())
  })

  test.each(scripts.filter((script) => script !== 'check-node.sh'))('%s does nothing without words', async (script) => {
    expect(spawnSync(deploymentPath(`${FOLDER}/${script}`)).status).toBe(2)
    expect(await help(script, '--no-such-option')).not.toBe('')
  })
})
