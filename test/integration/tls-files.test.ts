import { X509Certificate } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { createTestTls } from '../../packages/kms-client/src/node/testing/test-tls.ts'
import { createTestCluster, type TestCluster, type TestNode } from '../support/node-cluster.ts'

/** How often a node looks at the files by itself. */
const POLL_MS = 5_000

let cluster: TestCluster
let alice: TestNode
let pair: { readonly certFile: string; readonly keyFile: string }

beforeAll(async () => {
  cluster = await createTestCluster({ n: 3, t: 2, tls: true })
  alice = cluster.node(1)
  pair = { certFile: join(cluster.directory, 'tls.pem'), keyFile: join(cluster.directory, 'tls.key') }
})
afterAll(() => cluster.dispose())

/** The certificate that a new connection gets, as PEM. */
const served = (): Promise<string> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(alice.url)
    const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false }, () => {
      resolve(new X509Certificate(socket.getPeerCertificate().raw).toString())
      socket.destroy()
    })
    socket.on('error', reject)
  })
const lines = (event: string): readonly { readonly time: string; readonly problem?: string }[] =>
  alice
    .log()
    .split('\n')
    .filter((line) => line.includes(`"${event}"`))
    .map((line) => JSON.parse(line) as { time: string })
const timeOf = (event: string): number => Date.parse(lines(event).at(-1)?.time ?? '')

it('a node serves the files of another key with a warning, and takes a renewed pair on SIGHUP, before it looks by itself', async () => {
  const [first, second] = [createTestTls(), createTestTls()]
  const put = async (cert: string, key: string): Promise<void> => {
    await writeFile(pair.certFile, cert)
    await writeFile(pair.keyFile, key, { mode: 0o600 })
  }
  await put(first.cert, first.key)
  const file = join(alice.directory, 'node.yaml')
  const settings = await readFile(file, 'utf8')
  const names = `http:\n  tlsCertFile: '${pair.certFile}'\n  tlsKeyFile: '${pair.keyFile}'\n`
  await writeFile(file, settings.replace('http:\n', names))
  await alice.start()
  expect(await served()).toBe(new X509Certificate(first.cert).toString())
  expect(lines('tls-warning')).toMatchObject([{ problem: 'key-not-pinned' }])

  await put('no certificate', first.key)
  await vi.waitFor(() => expect(lines('tls-refused')).toHaveLength(1), { timeout: 30_000, interval: 20 })
  await put(second.cert, second.key)
  process.kill(alice.pid, 'SIGHUP')
  await vi.waitFor(() => expect(lines('tls-loaded')).toHaveLength(1), 30_000)
  expect(timeOf('tls-loaded') - timeOf('tls-refused')).toBeLessThan(POLL_MS - 500)
  expect(await served()).toBe(new X509Certificate(second.cert).toString())
  expect(await (await alice.admin()).get('/status')).toMatchObject({
    tls: { problems: ['key-not-pinned'], spkiSha256: `0x${Buffer.from(second.spkiSha256).toString('hex')}` },
  })
})
