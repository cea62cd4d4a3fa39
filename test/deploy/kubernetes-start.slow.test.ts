import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { PROGRAMS } from '@tkms/examples/programs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { kubernetesManifests } from '../support/deployment-files.ts'

/** The commands of `deploy/kubernetes` themselves. */

interface Container {
  readonly name: string
  readonly command: readonly string[]
  readonly args: readonly string[]
}
interface Shape {
  readonly kind: string
  readonly data: Readonly<Record<string, string>>
  readonly spec: { readonly template: { readonly spec: { readonly initContainers: readonly Container[] } } }
}
const of = (kind: string): Shape => {
  const found = (kubernetesManifests() as readonly unknown[] as readonly Shape[]).find((shape) => shape.kind === kind)
  if (found === undefined) throw new Error(`there is no ${kind}`)
  return found
}

describe('the init containers of a node', () => {
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tkms-kubernetes-'))
    await writeFile(join(directory, 'passphrase'), 'a passphrase of a test', { mode: 0o400 })
  })
  afterAll(() => rm(directory, { recursive: true }))

  /** The container's own command, with the paths of this machine. */
  async function run(name: string, operator: string): Promise<string> {
    const container = of('StatefulSet').spec.template.spec.initContainers.find((candidate) => candidate.name === name)
    const [program = '', ...options] = container?.command ?? []
    const adapt = (text: string): string =>
      text
        .replaceAll('/app/dist/bin/kms-node.js', PROGRAMS['kms-node'])
        .replaceAll('exec node ', `exec ${process.execPath} `)
        .replaceAll('/data/node', join(directory, operator))
        .replaceAll('/cluster/', `${directory}/`)
    const env = {
      ...process.env,
      ...of('ConfigMap').data,
      NODE_NAME: operator,
      NODE_PUBLIC_URL: `https://${operator}.example.org:7443`,
      NODE_ANNOUNCE: `/dns4/${operator}.example.org/tcp/7001`,
      TKMS_PASSPHRASE_FILE: join(directory, 'passphrase'),
    }
    return (
      await promisify(execFile)(program, [...options, ...(container?.args ?? []).map(adapt)], { env, timeout: 60_000 })
    ).stdout
  }

  test('make the node once, print its card, and join the cluster once', { timeout: 120_000 }, async () => {
    const operators = ['alice', 'bob', 'carol', 'dave']
    const printed = await Promise.all(operators.map((operator) => run('init', operator)))
    for (const [place, operator] of operators.entries())
      expect(JSON.parse(printed[place] ?? '')).toMatchObject({
        name: operator,
        url: `https://${operator}.example.org:7443`,
      })
    const made = await readFile(join(directory, 'alice/card.json'))
    expect(await run('init', 'alice')).toBe('')
    expect(await readFile(join(directory, 'alice/card.json'))).toEqual(made)
    await expect(run('join', 'alice')).rejects.toThrow('cluster.json')
    const cards = operators.map((operator) => join(directory, operator, 'card.json'))
    const out = join(directory, 'cluster.json')
    await promisify(execFile)(process.execPath, [
      PROGRAMS['kms-node'],
      'cluster',
      'new',
      '--threshold',
      '2',
      '--out',
      out,
      ...cards,
    ])
    await run('join', 'alice')
    expect(await readFile(join(directory, 'alice/cluster.json'), 'utf8')).toContain('dave')
    expect(await run('join', 'alice')).toBe('')
  })
})
