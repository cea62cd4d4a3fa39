import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isInstalled } from '../alerts/prometheus.ts'
import { ALERTS_FILE, metricNames, OPS, readRules } from '../alerts/rules.ts'
import { createTestCluster, type TestCluster } from '../support/node-cluster.ts'

let cluster: TestCluster
let exported: ReadonlySet<string>

beforeAll(async () => {
  cluster = await createTestCluster({ n: 3, t: 2 })
  await cluster.node(1).start()
  const text = await (await fetch(`${cluster.node(1).url}/metrics`)).text()
  const types = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)]
  const parts = { histogram: ['_bucket', '_sum', '_count'], summary: ['', '_sum', '_count'] }
  exported = new Set(
    types.flatMap(([, name = '', type = '']) => (parts[type as keyof typeof parts] ?? ['']).map((end) => name + end)),
  )
}, 120_000)
afterAll(() => cluster.dispose())

const unknown = (text: string): readonly string[] => [...metricNames(text)].filter((name) => !exported.has(name))
const read = (path: string): Promise<string> => readFile(join(OPS, path), 'utf8')

test('every metric of the rules and of the dashboard is one that a node exports', async () => {
  expect(unknown('rate(tkms_requests_total[5m]) / tkms_nothing')).toEqual(['tkms_nothing'])
  const rules = await readRules()
  expect(rules.length).toBeGreaterThan(10)
  for (const { alert, expr } of rules) expect([alert, unknown(expr)]).toEqual([alert, []])
  const dashboard = JSON.parse(await read('grafana/dashboard.json')) as {
    readonly panels: readonly { readonly targets?: readonly { readonly expr: string }[] }[]
  }
  const shown = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
  expect(shown.length).toBeGreaterThan(30)
  for (const expr of shown) expect([expr, unknown(expr)]).toEqual([expr, []])
})

test('the dashboard shows, and the documents name, every metric of our own', async () => {
  const own = [...exported]
    .map((name) => name.replace(/_(?:bucket|sum|count)$/, ''))
    .filter((name) => name.startsWith('tkms_'))
  const shown = [...metricNames(await read('grafana/dashboard.json'))].map((name) => name.replace(/_bucket$/, ''))
  expect(own.filter((name) => !shown.includes(name))).toEqual([])
  const documented = await readFile(join(import.meta.dirname, '../../docs/interfaces.md'), 'utf8')
  expect(own.filter((name) => !documented.includes(`\`${name}\``))).toEqual([])
})

test('every rule says how bad it is, what to do, and where that is written', async () => {
  const text = await readFile(join(import.meta.dirname, '../../docs/operations.md'), 'utf8')
  const anchors = [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^a-z0-9 -]/g, '')
      .replaceAll(' ', '-'),
  )
  for (const { alert, labels, annotations } of await readRules()) {
    expect([alert, labels.severity]).toEqual([alert, expect.stringMatching(/^(?:warning|critical)$/)])
    expect(annotations.description.length).toBeGreaterThan(40)
    expect(annotations.summary).toContain('{{ $labels.instance }}')
    const [page, anchor = ''] = annotations.runbook_url.split('#')
    expect(page).toBe('docs/operations.md')
    expect(anchors).toContain(anchor)
  }
})

test.skipIf(!isInstalled('promtool'))('promtool finds nothing wrong with the rules and the example', () => {
  for (const [command, file] of [
    ['rules', ALERTS_FILE],
    ['config', join(OPS, 'prometheus/prometheus.yml')],
  ] as const) {
    const { stderr, stdout, status } = spawnSync(
      'promtool',
      ['check', command, '--syntax-only', file].filter((part) => command === 'config' || part !== '--syntax-only'),
      { encoding: 'utf8' },
    )
    expect([status, `${stdout}${stderr}`]).toEqual([0, expect.stringContaining('SUCCESS') as unknown])
  }
})
