import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestCluster, makeKey, type TestCluster, type TestNode } from '../support/node-cluster.ts'

interface Finding {
  readonly check: string
  readonly node: string
  readonly level: 'ok' | 'warning' | 'failure'
  readonly detail: string
  readonly remedy?: string
}
interface Examined {
  readonly code: number
  readonly findings: readonly Finding[]
  readonly error: string | undefined
}

let cluster: TestCluster
let alice: TestNode
let carol: TestNode

beforeAll(async () => {
  cluster = await createTestCluster({ n: 3, t: 2, tls: true })
  ;[alice, , carol] = [cluster.node(1), cluster.node(2), cluster.node(3)]
  await Promise.all(cluster.nodes.map((node) => node.start()))
  await makeKey(cluster.nodes, 'ecies/examined')
}, 120_000)
afterAll(() => cluster.dispose())

async function doctor(): Promise<Examined> {
  const read = (lines: readonly unknown[], code: number): Examined => {
    const [report, ended] = lines as readonly [{ readonly findings: readonly Finding[] }, { error?: { code: string } }?]
    return { code, findings: report.findings, error: ended?.error?.code }
  }
  return cluster.run(['doctor', '--data-dir', alice.directory]).then(
    (lines) => read(lines, 0),
    (cause: unknown) => {
      const { code, stdout } = cause as { readonly code: number; readonly stdout: string }
      const lines = stdout.split('\n').filter((line) => line !== '')
      return read(
        lines.map((line) => JSON.parse(line) as unknown),
        code,
      )
    },
  )
}

const failures = ({ findings }: Examined): readonly string[] =>
  findings.filter(({ level }) => level === 'failure').map(({ node, check }) => `${node} ${check}`)
const about = ({ findings }: Examined, node: string, check: string): readonly Finding[] =>
  findings.filter((finding) => finding.node === node && finding.check === check)

/** While the file has this text. */
async function withText<T>(file: string, change: (text: string) => string, run: () => Promise<T>): Promise<T> {
  const text = await readFile(file, 'utf8')
  await writeFile(file, change(text))
  try {
    return await run()
  } finally {
    await writeFile(file, text)
  }
}

test('finds nothing wrong where all is well, and warns that all nodes of a test are on one host', async () => {
  const examined = await doctor()
  expect(failures(examined)).toEqual([])
  expect([examined.code, examined.error]).toEqual([0, undefined])
  for (const { name } of cluster.nodes)
    for (const check of [
      'http',
      'libp2p',
      'tls',
      'clock',
      'version',
      'identity',
      'audit',
      'hosts',
      'sealing',
      'attestation',
    ])
      expect([name, check, about(examined, name, check).length > 0]).toEqual([name, check, true])
  for (const check of ['node', 'store', 'disk', 'sealing', 'policy'])
    expect([check, about(examined, alice.name, check)]).toEqual([check, [expect.anything()]])
  const warned = examined.findings.filter(({ level }) => level === 'warning').map(({ check }) => check)
  expect(new Set(warned)).toEqual(new Set(['sealing', 'hosts']))
  const [host] = about(examined, alice.name, 'hosts')
  expect(host?.detail).toBe(`shares 127.0.0.1 with ${cluster.node(2).name}, ${carol.name}`)
  for (const { level, remedy } of examined.findings) expect(remedy === undefined).toBe(level === 'ok')
})

test('names a peer that is down, by both of its addresses, and what to do', async () => {
  await carol.stop()
  try {
    const examined = await doctor()
    expect(examined.code).toBe(1)
    expect(examined.error).toBe('doctor-failed')
    expect(failures(examined)).toEqual([`${carol.name} http`, `${carol.name} libp2p`])
    expect(about(examined, carol.name, 'http')[0]?.remedy).toContain('start the node')
  } finally {
    await carol.start()
  }
})

test('tells a wrong clock, another node at an address, and another version, by what is served there', async () => {
  const served = (await (await carol.admin()).get('/status')) as object
  const lies = () => ({
    ...served,
    time: Math.floor(Date.now() / 1000) + 300,
    version: '0.0.1',
    ed25519: `0x${'11'.repeat(32)}`,
    attestation: { provider: 'tdx', expires: Math.floor(Date.now() / 1000) - 1 },
  })
  const server = createServer((_request, response) => response.end(JSON.stringify(lies())))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const moved = (text: string): string => {
    const file = JSON.parse(text) as { nodes: { name: string; url: string; tlsSpkiSha256?: string }[] }
    for (const node of file.nodes)
      if (node.name === carol.name) {
        node.url = url
        delete node.tlsSpkiSha256
      }
    return JSON.stringify(file)
  }
  try {
    const examined = await withText(join(alice.directory, 'cluster.json'), moved, doctor)
    expect(examined.code).toBe(1)
    expect(failures(examined)).toEqual(['identity', 'clock', 'attestation'].map((check) => `${carol.name} ${check}`))
    expect(about(examined, carol.name, 'attestation')[0]?.remedy).toContain('collateral')
    expect(about(examined, carol.name, 'clock')[0]?.detail).toMatch(/^its clock is \d{3} s ahead/)
    expect(about(examined, carol.name, 'version')).toMatchObject([
      { level: 'warning', detail: expect.stringContaining('0.0.1') as unknown },
    ])
    expect(about(examined, alice.name, 'version')).toMatchObject([{ level: 'ok' }])
  } finally {
    server.close()
  }
})

test('refuses a TLS key that the cluster file does not name', async () => {
  const pinned = (text: string): string => {
    const file = JSON.parse(text) as { nodes: { name: string; tlsSpkiSha256?: string }[] }
    for (const node of file.nodes) if (node.name === carol.name) node.tlsSpkiSha256 = `0x${'22'.repeat(32)}`
    return JSON.stringify(file)
  }
  const examined = await withText(join(alice.directory, 'cluster.json'), pinned, doctor)
  expect(failures(examined)).toEqual([`${carol.name} http`])
  expect(about(examined, carol.name, 'http')[0]?.detail).toContain('the TLS key is not the one in the cluster file')
})

test('finds a wrong policy file and a node that does not run', async () => {
  const policy = join(alice.directory, 'policy.yaml')
  const wrong = await withText(policy, (text) => `${text}\nnothing: like this\n`, doctor)
  expect(failures(wrong)).toEqual([`${alice.name} policy`])
  await alice.stop()
  try {
    const stopped = await doctor()
    expect(failures(stopped)).toContain(`${alice.name} node`)
    expect(about(stopped, alice.name, 'audit')).toMatchObject([
      { level: 'ok', detail: expect.stringContaining('are a chain up to its head') as unknown },
    ])
    const log = join(alice.directory, 'audit.db')
    const bytes = await readFile(log)
    const database = new DatabaseSync(log)
    database.exec('UPDATE records SET hash = zeroblob(32) WHERE seq = 0')
    database.close()
    const broken = await doctor()
    expect(failures(broken)).toContain(`${alice.name} audit`)
    await writeFile(log, bytes)
  } finally {
    await alice.start()
  }
})
